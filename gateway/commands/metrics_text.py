"""The text of /metrics as numbers, and what two looks at it tell of the time between them.

Refuses to know more of the format than our own exposition writes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Labels = tuple[tuple[str, str], ...]
_LINE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Look:
    """Every series at one moment."""

    at_s: float
    series: Mapping[str, Mapping[Labels, float]]

    def total(self, name: str, /, **labels: str) -> float:
        """The sum over the series with these labels; 0 where there is none."""
        wanted = set(labels.items())
        found = self.series.get(name, {})
        return sum(value for key, value in found.items() if wanted <= set(key))

    def values(self, name: str, label: str) -> list[str]:
        """Every value of a label."""
        keys = self.series.get(name, {})
        return sorted({value for key in keys for found, value in key if found == label})


@dataclass(frozen=True, slots=True)
class Between:
    """Two looks, the later one second."""

    before: Look
    after: Look

    def per_s(self, name: str, **labels: str) -> float:
        """How much a counter grew in a second; a counter that began anew counts from 0."""
        grown = self.after.total(name, **labels) - self.before.total(name, **labels)
        grown = self.after.total(name, **labels) if grown < 0 else grown
        return grown / max(self.after.at_s - self.before.at_s, 0.001)

    def quantile_s(self, name: str, share: float, **labels: str) -> float | None:
        """The bound below which that share of what was observed in between lies."""
        bounds = [bound for bound in self.after.values(f"{name}_bucket", "le") if bound != "+Inf"]
        counts = {
            float(bound): self.per_s(f"{name}_bucket", le=bound, **labels)
            for bound in [*bounds, "+Inf"]
        }
        whole = counts.get(float("inf"), 0.0)
        if whole <= 0:
            return None
        return next(bound for bound in sorted(counts) if counts[bound] >= share * whole)


def look(text: str, at_s: float) -> Look:
    """Read one exposition."""
    series: dict[str, dict[Labels, float]] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None and not line.startswith("#"):
            labels = tuple(sorted(_LABEL.findall(match[2] or "")))
            series.setdefault(match[1], {})[labels] = float(match[3])
    return Look(at_s, series)
