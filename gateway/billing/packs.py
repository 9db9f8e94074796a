"""What can be bought: packs of tokens with a price per currency, read from TOML.

Refuses a file with any mistake, and names them all. Prices are in the minor unit of the currency.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import ConfigurationFault

TAXES: Final = ("exclusive", "inclusive")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CURRENCY: Final = re.compile(r"[a-z]{3}")
# Some thousand packs fit into a balance, which is exact up to 2^53 - 1.
_MOST_TOKENS: Final = 10**12
# Below 50 (cents) no payment is taken; above eight digits none either.
_LEAST_PRICE_MINOR: Final = 50
_MOST_PRICE_MINOR: Final = 99_999_999
_MOST_TITLE: Final = 100


@dataclass(frozen=True, slots=True)
class Pack:
    """Tokens for money: `prices_minor` by currency, in lower case."""

    pack: str
    title: str
    tokens: int
    prices_minor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Packs:
    """All packs in the order of the file, and whether tax is in their prices."""

    packs: Mapping[str, Pack]
    tax: str

    @property
    def currencies(self) -> tuple[str, ...]:
        """Every currency that some pack has a price in."""
        return tuple(sorted({c for pack in self.packs.values() for c in pack.prices_minor}))


def price_id(pack: str, currency: str) -> str:
    """One name for a pack in a currency, for clients that know prices only."""
    return f"{pack}.{currency}"


def read_packs(text: str) -> Packs:
    """The packs of a TOML text; ConfigurationFault with every mistake."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationFault([f"it is no TOML: {error}"]) from error
    mistakes = [f"{name} is not known; tax and packs are" for name in document]
    mistakes = [m for m in mistakes if not m.startswith(("tax ", "packs "))]
    tax = document.get("tax", TAXES[0])
    if tax not in TAXES:
        mistakes.append(f"tax must be one of {', '.join(TAXES)}")
    tables = document.get("packs")
    if not isinstance(tables, dict) or not tables:
        mistakes.append("there must be at least one [packs.<name>]")
        tables = {}
    packs = {name: _pack(name, table, mistakes) for name, table in tables.items()}
    if mistakes:
        raise ConfigurationFault(mistakes)
    return Packs(packs, tax)


def _pack(name: str, table: Any, mistakes: list[str]) -> Pack:
    if not _NAME.fullmatch(name):
        mistakes.append(f"packs.{name}: a name has up to 40 of a-z, 0-9, - and _")
    if not isinstance(table, dict):
        mistakes.append(f"packs.{name} must be a table")
        return Pack(name, name, 1, {})
    prices = {k: v for k, v in table.items() if k not in ("name", "tokens")}
    title, tokens = table.get("name", name), table.get("tokens")
    if not isinstance(title, str) or not 1 <= len(title) <= _MOST_TITLE or not title.isprintable():
        mistakes.append(f"packs.{name}.name must be a text of 1 to {_MOST_TITLE} characters")
    if type(tokens) is not int or not 1 <= tokens <= _MOST_TOKENS:
        mistakes.append(f"packs.{name}.tokens must be a whole number from 1 to {_MOST_TOKENS}")
    if not prices:
        mistakes.append(f"packs.{name} has no price, such as usd = 500")
    for currency, price in prices.items():
        if not _CURRENCY.fullmatch(currency):
            mistakes.append(f"packs.{name}.{currency} is no currency of three small letters")
        elif type(price) is not int or not _LEAST_PRICE_MINOR <= price <= _MOST_PRICE_MINOR:
            mistakes.append(
                f"packs.{name}.{currency} must be a whole number of minor units from "
                f"{_LEAST_PRICE_MINOR} to {_MOST_PRICE_MINOR}"
            )
    return Pack(name, str(title), tokens if type(tokens) is int else 1, prices)
