"""Turns the text of a catalogue file into products, or lists every mistake in it.

Refuses to start from a half-right file: one mistake anywhere and no catalogue comes out.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from gateway.errors import ConfigurationFault
from gateway.products.product import (
    Catalogue,
    Counting,
    Family,
    HardLimits,
    Holding,
    Product,
    UsageSource,
)
from gateway.products.reading import Section, shown
from gateway.products.tiers import MAX_TPM, anonymous_of, limits_of, shadows_of
from gateway.units import MAX_TOKENS

SERVICES: Final = (
    "reader",
    "search",
    "deepsearch",
    "embeddings",
    "rerank",
    "classifier",
    "segmenter",
)
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
_MAX_BYTES: Final = 2**40
_MAX_MS: Final = 24 * 3_600_000
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PATH: Final = re.compile(r"/|(/[A-Za-z0-9._~-]+)+")
_HEADER: Final = re.compile(r"[a-z0-9][a-z0-9-]*\*?")
_OUR_PREFIX: Final = "x-sluice-"
# The gateway speaks for these itself; a client's own would let it pose as someone else.
_NEVER_FORWARDED: Final = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-csrf-token",
        "x-forwarded-for",
        "x-request-id",
    }
)


def load(text: str, builtin: str | None = None) -> Catalogue:
    """The catalogue of a TOML text; ConfigurationFault lists all its mistakes.

    `builtin` is the text of the built-in catalogue: what `text` leaves out for a product that is
    named there is taken from it, so that a file with only the public facts (limits, paths,
    `counts` in words) is enough. Products that `text` does not name are not offered.
    """
    mistakes: list[str] = []
    tables = _parse(text, mistakes)
    if mistakes:
        raise ConfigurationFault(mistakes)
    base = _parse(builtin, mistakes) if builtin is not None else {}
    limits = _hard_limits(tables, base, mistakes)
    products = {}
    for name, table in tables.items():
        if name == "limits":
            continue
        if not _NAME.fullmatch(name):
            mistakes.append(f"{shown(name)} cannot be the name of a product")
        elif not isinstance(table, dict):
            mistakes.append(f"{name} must be a table [{name}], not {shown(table)}")
        else:
            products[name] = _product(name, _completed(table, base.get(name)), mistakes)
    if not products and not mistakes:
        mistakes.append("the catalogue names no product")
    _check_together(tuple(products.values()), mistakes)
    if mistakes or limits is None:
        raise ConfigurationFault(mistakes)
    return Catalogue(products, limits)


def _parse(text: str, mistakes: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"the catalogue is not TOML: {error}")
        return {}


def _completed(table: Mapping[str, Any], base: Mapping[str, Any] | None) -> dict[str, Any]:
    """The operator's fields over the built-in ones; a tier is replaced whole, never mixed."""
    if base is None:
        return dict(table)
    merged = {**base, **table}
    counts = table.get("counts")
    if isinstance(counts, str) and " " in counts:
        # Words for people, as on the product pages: the rule itself is the built-in one.
        merged["counts"] = base["counts"]
    return merged


def _product(name: str, table: Mapping[str, Any], mistakes: list[str]) -> Product:
    section = Section(name, table, mistakes)
    methods = tuple(dict.fromkeys(_methods(section)))
    header_names, header_prefixes = _headers(section)
    deadline_ms = section.integer("deadline_ms", 1, _MAX_MS)
    shadows = shadows_of(section)
    product = Product(
        name=name,
        host=_label(section, "host", needed=True) or "",
        also_host=_label(section, "also_host", needed=False),
        takes_rest=section.boolean("takes_rest"),
        paths=_paths(section),
        methods=methods,
        allow=", ".join((*methods, "OPTIONS")),
        service=section.one_of("service", SERVICES),
        family=Family(section.one_of("family", [each.value for each in Family])),
        anonymous=anonymous_of(section, shadows),
        key=limits_of(section.table("key"), shadows.get("key")),
        premium=limits_of(section.table("premium"), shadows.get("premium")),
        counting=Counting(section.one_of("counts", [each.value for each in Counting])),
        holding=Holding(section.one_of("holds", [each.value for each in Holding])),
        minimum_tokens=section.integer("minimum_tokens", 0, MAX_TPM, 0),
        maximum_tokens=section.integer("maximum_tokens", 0, MAX_TOKENS, 0) or None,
        block_tokens=section.integer("block_tokens", 0, MAX_TPM, 0),
        added_tokens=section.integer("added_tokens", 0, MAX_TPM, 0),
        least_cap_tokens=section.integer("least_cap_tokens", 0, MAX_TPM, 0),
        usage_sources=_usage_sources(section),
        usage_paths=tuple(tuple(each.split(".")) for each in section.texts("usage_fields")),
        body_field=section.text("body_field", needed=False),
        max_request_bytes=section.integer("max_request_bytes", 1, _MAX_BYTES),
        max_answer_bytes=section.integer("max_answer_bytes", 1, _MAX_BYTES),
        deadline_ms=deadline_ms,
        first_byte_ms=section.integer("first_byte_ms", 1, _MAX_MS),
        header_names=header_names,
        header_prefixes=header_prefixes,
    )
    section.given("average_latency_s")  # a fact for the pages; no rule reads it
    section.close()
    _check_alone(product, section)
    return product


def _methods(section: Section) -> tuple[str, ...]:
    methods = section.texts("methods")
    for method in methods:
        if method not in METHODS:
            section.wrong("methods", f"must be of {', '.join(METHODS)}, not {shown(method)}")
    return methods


def _label(section: Section, field: str, *, needed: bool) -> str | None:
    label = section.text(field, needed=needed)
    if label is not None and not _LABEL.fullmatch(label):
        section.wrong(field, f"must be one lower-case host label, not {shown(label)}")
    return label


def _paths(section: Section) -> tuple[str, ...]:
    paths = section.texts("path")
    for path in paths:
        if not _PATH.fullmatch(path):
            section.wrong("path", f"must be a path such as /v1/name, not {shown(path)}")
    return paths


def _headers(section: Section) -> tuple[frozenset[str], tuple[str, ...]]:
    names = section.texts("headers")
    for name in names:
        if not _HEADER.fullmatch(name):
            section.wrong("headers", f"must be lower-case names, or x-md-*, not {shown(name)}")
        elif _is_ours(name):
            section.wrong("headers", f"may not name {name}: the gateway speaks for it")
    exact = frozenset(name for name in names if not name.endswith("*"))
    return exact, tuple(name[:-1] for name in names if name.endswith("*"))


def _is_ours(name: str) -> bool:
    """Whether a name, or any that a prefix like `x-f*` lets through, is the gateway's own."""
    if name.endswith("*"):
        start = name[:-1]
        return any(each.startswith(start) for each in (*_NEVER_FORWARDED, _OUR_PREFIX)) or (
            start.startswith(_OUR_PREFIX)
        )
    return name in _NEVER_FORWARDED or name.startswith(_OUR_PREFIX)


def _usage_sources(section: Section) -> tuple[UsageSource, ...]:
    known = [each.value for each in UsageSource]
    names = section.texts("usage")
    for name in names:
        if name not in known:
            section.wrong("usage", f"must be of {', '.join(known)}, not {shown(name)}")
    return tuple(UsageSource(name) for name in names if name in known)


def _check_alone(product: Product, section: Section) -> None:
    if product.first_byte_ms > product.deadline_ms:
        section.wrong("first_byte_ms", f"must not exceed deadline_ms ({product.deadline_ms})")
    if product.takes_rest and "/" not in product.paths:
        section.wrong("path", 'must have "/" with takes_rest, which owns every path of its host')
    if product.holding is Holding.BUDGET and not product.block_tokens:
        section.wrong("block_tokens", 'is missing, and holds = "budget" needs it')
    if product.holding is Holding.MINIMUM and not product.minimum_tokens:
        section.wrong("minimum_tokens", 'is missing, and holds = "minimum" needs it')
    if product.counting is Counting.SEARCH and not product.minimum_tokens:
        section.wrong("minimum_tokens", 'is missing, and counts = "search" needs it')
    if product.maximum_tokens is not None and product.maximum_tokens < product.minimum_tokens:
        section.wrong("maximum_tokens", f"must not be below {product.minimum_tokens}, the minimum")


def _check_together(products: Sequence[Product], mistakes: list[str]) -> None:
    """Every request must lead to one product: no two may claim the same door."""
    doors: dict[tuple[str, str], list[Product]] = {}
    for product in products:
        for path in product.paths:
            doors.setdefault((product.host, path), []).append(product)
        if product.also_host is not None:
            doors.setdefault((product.also_host, "/"), []).append(product)
    for (host, path), claimants in doors.items():
        names = " and ".join(each.name for each in claimants)
        told_apart = [each.body_field for each in claimants]
        if len(claimants) > 1 and (None in told_apart or len(set(told_apart)) < len(claimants)):
            mistakes.append(f"{names} both claim {path} on {host}.: each needs its own body_field")
        elif len({each.methods for each in claimants}) > 1:
            mistakes.append(f"{names} share {path} on {host}. and so must share their methods")
    for owner in products:
        for other in products:
            if owner.takes_rest and other is not owner and other.host == owner.host:
                mistakes.append(f"{other.name} is on {other.host}., all of which {owner.name} owns")


def _hard_limits(
    tables: Mapping[str, Any], base: Mapping[str, Any], mistakes: list[str]
) -> HardLimits | None:
    given = tables.get("limits", {})
    if not isinstance(given, dict):
        mistakes.append(f"limits must be a table [limits], not {shown(given)}")
        return None
    section = Section("limits", {**base.get("limits", {}), **given}, mistakes)
    found = {each.name: section.integer(each.name, 0, MAX_TPM) for each in fields(HardLimits)}
    section.close()
    return HardLimits(**found)
