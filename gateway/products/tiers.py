"""Reads the limits of the tiers from a product's table, those in force and those in shadow.

Refuses to know anything else of a product.
"""

from collections.abc import Mapping
from typing import Final

from gateway.products.product import Limits, Shadow
from gateway.products.reading import Section, shown

_NAMES: Final = ("rpm", "tpm", "concurrency")
# A rate beyond this is a slip of the keyboard: one million a minute is more than a gateway serves.
MAX_RPM: Final = 10_000_000
MAX_TPM: Final = 10**15


def shadows_of(section: Section) -> dict[str, Shadow]:
    """Limits that are only tried, by tier."""
    if section.given("shadow") is None:
        return {}
    tiers = section.table("shadow")
    found: dict[str, Shadow] = {}
    if tiers is None:
        return found
    for tier in ("anonymous", "key", "premium"):
        table = tiers.table(tier) if tiers.given(tier) is not None else None
        if table is not None:
            found[tier] = Shadow(*(table.optional(each, 1, MAX_TPM) for each in _NAMES))
            table.close()
    tiers.close()
    return found


def anonymous_of(section: Section, shadows: Mapping[str, Shadow]) -> Limits | None:
    """Of requests without a key; None where a key is needed."""
    value = section.given("anonymous")
    shadow = shadows.get("anonymous")
    if value == "blocked":
        if shadow is not None:
            section.wrong("shadow", "has limits without a key, and anonymous is blocked")
        return None
    if isinstance(value, dict):
        return limits_of(Section(f"{section.name}.anonymous", value, section.mistakes), shadow)
    if value is None:
        section.wrong("anonymous", "is missing")
    else:
        section.wrong("anonymous", f'must be "blocked" or {{ rpm = 20 }}, not {shown(value)}')
    return None


def limits_of(section: Section | None, shadow: Shadow | None) -> Limits:
    """Of one tier; something usable even after a mistake, which is noted."""
    if section is None:
        return Limits(1, None, 1)
    rpm = section.integer("rpm", 1, MAX_RPM)
    tpm = section.integer("tpm", 0, MAX_TPM, 0)
    if not tpm and section.given("tpm") == 0:
        section.wrong("tpm", "must be at least 1; leave it out for no token limit")
    concurrency = section.integer("concurrency", 1, MAX_RPM, rpm)
    section.close()
    return Limits(rpm, tpm or None, concurrency, shadow)
