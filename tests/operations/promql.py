"""As much of PromQL as is needed to find which metrics and labels an expression names."""

import re
from collections.abc import Iterator, Mapping

from gateway.telemetry import Telemetry

_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_SELECTOR = re.compile(r"\b(sluice[a-zA-Z0-9_:]*|up|ALERTS)\b(\{[^}]*\})?")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
# What Prometheus adds by itself.
ADDED = {"instance", "job", "le"}


def selected(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each metric with the labels that its selector matches."""
    bare = _STRING.sub('""', expression)
    for name, matchers in _SELECTOR.findall(bare):
        yield name, set(_MATCHER.findall(matchers))


def grouped(expression: str) -> set[str]:
    """The labels by which something is added up or matched."""
    lists = _GROUPING.findall(_STRING.sub('""', expression))
    return {label.strip() for text in lists for label in text.split(",") if label.strip()}


def declared() -> Mapping[str, set[str]]:
    """Every series name that the code can show, with its labels."""
    numbers = Telemetry()
    found: dict[str, set[str]] = {}
    for tally in numbers.tallies:
        found[f"{tally.named.name}_total"] = set(tally.named.labels)
    for level in numbers.levels:
        found[level.named.name] = set(level.named.labels)
    for latest in numbers.latest:
        found[latest.named.name] = set(latest.named.labels)
    for spread, _ in numbers.spreads:
        for suffix in ("_bucket", "_sum", "_count"):
            found[spread.named.name + suffix] = set(spread.named.labels)
    return found


def wrong_in(expression: str, recorded: Mapping[str, set[str]]) -> list[str]:
    """Metrics and labels that there are not; `recorded` are the names of recording rules."""
    known = {**declared(), **recorded, "up": set[str](), "ALERTS": {"alertstate", "alertname"}}
    wrong, labels = [], set(ADDED)
    for name, matched in selected(expression):
        if name not in known:
            wrong.append(f"no metric {name}")
            continue
        labels |= known[name]
        wrong += [f"{name} has no label {label}" for label in matched - known[name] - ADDED]
    return wrong + [f"nothing there has a label {label}" for label in grouped(expression) - labels]
