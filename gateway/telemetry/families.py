"""Families of numbers and how they are told together; what there is, `Telemetry` declares."""

from gateway.telemetry.series import Family, Latest, Level, Named, Spread, Tally
from gateway.telemetry.snapshots import Values


class Families:
    """All metrics of one process, as they are declared one after the other."""

    def __init__(self) -> None:
        self.tallies: list[Family[Tally]] = []
        self.levels: list[Family[Level]] = []
        self.latest: list[Family[Latest]] = []
        self.spreads: list[tuple[Family[Spread], tuple[float, ...]]] = []

    def counts(self) -> Values:
        """All that only grows: tallies, and spreads as their sum followed by the counts."""
        found: Values = {}
        for tallies in self.tallies:
            found[tallies.named.name] = {key: [one.value] for key, one in tallies.series()}
        for spreads, _ in self.spreads:
            found[spreads.named.name] = {
                key: [one.sum, *one.counts] for key, one in spreads.series()
            }
        return found

    def standings(self) -> Values:
        """All that goes up and down."""
        return {
            family.named.name: {key: [one.value] for key, one in family.series()}
            for family in self.levels
        }

    def newest(self) -> Values:
        """What was found, each with the moment at which it was."""
        return {
            family.named.name: {
                key: [one.at_s, one.value] for key, one in family.series() if one.at_s
            }
            for family in self.latest
        }

    def _tally(self, name: str, text: str, *labels: str) -> Family[Tally]:
        family = Family(Named(name, text, labels), Tally)
        self.tallies.append(family)
        return family

    def _latest(self, name: str, text: str, *labels: str) -> Family[Latest]:
        family = Family(Named(name, text, labels), Latest)
        self.latest.append(family)
        return family

    def _levels(self, name: str, text: str, *labels: str) -> Family[Level]:
        family = Family(Named(name, text, labels), Level)
        self.levels.append(family)
        return family

    def _level(self, name: str, text: str) -> Level:
        return self._levels(name, text).labels()

    def _spread(
        self, name: str, text: str, bounds: tuple[float, ...], *labels: str
    ) -> Family[Spread]:
        family = Family(Named(name, text, labels), lambda: Spread(bounds))
        self.spreads.append((family, bounds))
        return family
