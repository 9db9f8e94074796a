"""What is offered now: the catalogue in force, for all who outlive a change of it.

1. Whoever keeps an Offer and asks it again sees the newest catalogue; each one is immutable.
2. What is made from a catalogue (routes) follows it and is told of a new one before `take` ends.
3. `obstacles` says why a catalogue cannot follow another without a restart.

Refuses half a change: a catalogue is in force as a whole or not at all.
"""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Final

from gateway.products.product import Catalogue, HardLimits, Product

# Nothing but decisions on the next requests depends on these.
MAY_CHANGE: Final = (
    "anonymous",
    "key",
    "premium",
    "deadline_ms",
    "first_byte_ms",
    "block_tokens",
    "added_tokens",
)
_RESTART: Final = "needs a restart (SIGHUP replaces the processes one by one)"


class Offer:
    """The catalogue in force and its version."""

    __slots__ = ("_followers", "now", "version")

    def __init__(self, catalogue: Catalogue, version: str) -> None:
        self.now = catalogue
        self.version = version
        self._followers: list[Callable[[Catalogue], None]] = []

    @property
    def products(self) -> dict[str, Product]:
        """Those in force, by name."""
        return self.now.products

    @property
    def limits(self) -> HardLimits:
        """The hard limits in force."""
        return self.now.limits

    def follow(self, follower: Callable[[Catalogue], None]) -> None:
        """Call it with every later catalogue."""
        self._followers.append(follower)

    def take(self, catalogue: Catalogue, version: str) -> None:
        """It is in force from now on. Look at `obstacles` first."""
        self.now, self.version = catalogue, version
        for follower in self._followers:
            follower(catalogue)


def obstacles(now: Catalogue, wanted: Catalogue) -> list[str]:
    """One sentence for each difference that a running gateway cannot take over; [] if it can."""
    found = [f"{name} is gone, which {_RESTART}" for name in now.products.keys() - wanted.products]
    found += [f"{name} is new, which {_RESTART}" for name in wanted.products.keys() - now.products]
    if now.limits != wanted.limits:
        found.append(f"[limits] has changed, which {_RESTART}")
    for name, product in now.products.items():
        other = wanted.products.get(name)
        if other is not None:
            found += _of_product(product, other)
    return sorted(found)


def _of_product(now: Product, wanted: Product) -> Iterator[str]:
    if (now.anonymous is None) != (wanted.anonymous is None):
        yield f"{now.name}.anonymous is blocked or opened, which {_RESTART}"
    kept = {name: getattr(now, name) for name in MAY_CHANGE}
    if replace(wanted, **kept) == now:
        return
    for each in fields(Product):
        name = each.name
        if name not in MAY_CHANGE and getattr(now, name) != getattr(wanted, name):
            yield f"{now.name}.{name} has changed, which {_RESTART}"
