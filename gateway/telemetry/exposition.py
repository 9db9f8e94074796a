"""The text that Prometheus scrapes: the numbers of all processes of this machine, added up.

Refuses to declare a metric; it shows what `Telemetry` has.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from gateway.telemetry import Telemetry
from gateway.telemetry.series import SEPARATOR, Named
from gateway.telemetry.snapshots import Numbers, Values, add, add_newer, read

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def exposition(own: Telemetry, folder: Path, own_name: str) -> bytes:
    """The numbers of this process (`own_name` in `folder`) and of all others there.

    What another process counted in the last half second may be missing.
    """
    counts, levels, newest = own.counts(), own.standings(), own.newest()
    for snapshot in read(folder, own_name):
        add(counts, snapshot.counts)
        add(levels, snapshot.levels)
        add_newer(newest, snapshot.newest)
    registry = CollectorRegistry()
    registry.register(_Shown(_metrics(own, counts, levels, newest)))
    return generate_latest(registry)


class _Shown:
    """What a registry collects from."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Nothing: names are told apart in Telemetry."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every metric, once."""
        return self._metrics


def _metrics(own: Telemetry, counts: Values, levels: Values, newest: Values) -> Iterator[Metric]:
    for tallies in own.tallies:
        named = tallies.named
        counter = CounterMetricFamily(named.name, named.text, labels=named.labels)
        for labels, numbers in _series(named, counts):
            counter.add_metric(labels, numbers[0])
        yield counter
    for family in own.levels:
        named = family.named
        gauge = GaugeMetricFamily(named.name, named.text, labels=named.labels)
        for labels, numbers in _series(named, levels):
            gauge.add_metric(labels, numbers[0])
        yield gauge
    for latest in own.latest:
        named = latest.named
        gauge = GaugeMetricFamily(named.name, named.text, labels=named.labels)
        for labels, numbers in _series(named, newest):
            gauge.add_metric(labels, numbers[1])
        yield gauge
    for spreads, bounds in own.spreads:
        named = spreads.named
        histogram = HistogramMetricFamily(named.name, named.text, labels=named.labels)
        names = [*(str(float(bound)) for bound in bounds), "+Inf"]
        for labels, numbers in _series(named, counts):
            buckets = list(zip(names, accumulate(numbers[1:]), strict=True))
            histogram.add_metric(labels, buckets, numbers[0])
        yield histogram


def _series(named: Named, values: Values) -> Iterator[tuple[list[str], Numbers]]:
    for text, numbers in sorted(values.get(named.name, {}).items()):
        yield (text.split(SEPARATOR) if named.labels else []), numbers
