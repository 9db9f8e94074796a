"""The metrics of limits that change: the catalogue in force, limits in shadow, the arrival log."""

from typing import Final

from gateway.telemetry.families import Families

_LIMIT: Final = ("product", "tier", "dimension")


class LimitMetrics(Families):
    """Declared with the others, by `Telemetry`."""

    def _declare_limits(self) -> None:
        self.catalogue_since = self._levels(
            "sluice_catalogue_since_seconds",
            "Since when (unix) a process has the catalogue of this version in force",
            "process",
            "version",
        )
        self.catalogue_reloads = self._tally(
            "sluice_catalogue_reloads",
            "Changes of the catalogue's file, by what came of it",
            "result",
        )
        self.catalogue_refused = self._level(
            "sluice_catalogue_refused",
            "Processes in which the catalogue's file, as it is now, is not in force",
        )
        self.shadow_looked = self._tally(
            "sluice_shadow_looked",
            "Admitted requests that a limit in shadow was tried on",
            *_LIMIT,
        )
        self.shadow_refused = self._tally(
            "sluice_shadow_refused",
            "Admitted requests that a limit in shadow would have refused",
            *_LIMIT,
        )
        self.arrivals = self._tally(
            "sluice_arrivals",
            "Arrivals of requests for the arrival log, by what came of them",
            "kind",
        )
