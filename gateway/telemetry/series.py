"""Numbers that a process counts: plain integers, so that counting costs next to nothing.

Refuses labels without bound: a family that has grown to `MAX_SERIES` counts the rest as `other`.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

# Products times outcomes are some 150; more than this is a label that a client could choose.
MAX_SERIES: Final = 1_000
OTHER: Final = "other"
SEPARATOR: Final = "\n"
Number = int | float


class Tally:
    """Only grows. `inc` counts; `total` takes over a sum that somebody else keeps."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number = 0

    def inc(self, amount: Number = 1) -> None:
        """Count `amount` (>= 0) more."""
        self.value += amount

    def total(self, value: Number) -> None:
        """The sum that is kept elsewhere; never less than before."""
        self.value = max(self.value, value)


class Level:
    """Goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number = 0

    def inc(self, amount: Number = 1) -> None:
        """Up."""
        self.value += amount

    def dec(self, amount: Number = 1) -> None:
        """Down."""
        self.value -= amount

    def set(self, value: Number) -> None:
        """To this."""
        self.value = value


class Latest:
    """Of all processes the value that was set last counts; nothing before the first."""

    __slots__ = ("at_s", "value")

    def __init__(self) -> None:
        self.at_s: Number = 0
        self.value: Number = 0

    def set(self, value: Number, at_s: Number) -> None:
        """This value, found at that moment (unix)."""
        self.value, self.at_s = value, at_s


class Spread:
    """How many observations were at most each bound (and above all of them), and their sum."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


@dataclass(frozen=True, slots=True)
class Named:
    """What a metric is called and says; `labels` are the names of its labels."""

    name: str
    text: str
    labels: tuple[str, ...] = ()


Child = TypeVar("Child")


class Family(Generic[Child]):
    """One metric with its series, made as their labels come up; without labels there is one."""

    def __init__(self, named: Named, make: Callable[[], Child]) -> None:
        self.named = named
        self._make = make
        self._children: dict[tuple[str, ...], Child] = {}
        if not named.labels:
            self.labels()

    def labels(self, *values: str) -> Child:
        """The series with these values, in the order of the names."""
        child = self._children.get(values)
        return self._new(values) if child is None else child

    def forget(self, *values: str) -> None:
        """The series with these values is over; harmless when there is none."""
        self._children.pop(values, None)

    def _new(self, values: tuple[str, ...]) -> Child:
        assert len(values) == len(self.named.labels), f"{self.named.name}: {values}"
        if len(self._children) >= MAX_SERIES:
            values = (OTHER,) * len(values)
        return self._children.setdefault(values, self._make())

    def series(self) -> Iterator[tuple[str, Child]]:
        """Label values as one text, and the series."""
        for values, child in self._children.items():
            yield SEPARATOR.join(values), child
