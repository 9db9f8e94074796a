"""The parts of a Grafana dashboard as plain data: queries, panels, rows, the page around them.

Refuses to know a metric: `pages` says what is shown. The same input gives the same text, byte for
byte, so that a dashboard can be compared with what is committed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_COLUMNS: Final = 24
# As long as a scrape needs, and as short as the picture allows.
RATE: Final = "[$__rate_interval]"
_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL expression and what its series are called (`{{label}}` is filled in)."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `kind` is Grafana's name: timeseries, stat, table. `unit` as Grafana has it.

    `bad_above`: from here on a stat is red. `stacked`: the series add up to something.
    """

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    bad_above: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard. `choices`: variables by name, each with a metric and its label to choose."""

    name: str
    title: str
    text: str
    panels: Sequence[Panel]
    choices: Mapping[str, tuple[str, str]]


def query(expression: str, legend: str = "") -> tuple[Query, ...]:
    """One expression alone."""
    return (Query(expression, legend),)


def stat(title: str, text: str, expression: str, bad_above: float, unit: str = "short") -> Panel:
    """One number on green, and from `bad_above` on on red."""
    return Panel(
        title, text, query(expression), unit, kind="stat", width=4, height=4, bad_above=bad_above
    )


def render(page: Page) -> str:
    """The file that Grafana imports."""
    document = {
        "annotations": {"list": []},
        "description": page.text,
        "editable": True,
        "graphTooltip": 1,
        "links": [
            {"asDropdown": True, "tags": ["sluice"], "title": "Sluice", "type": "dashboards"}
        ],
        "panels": _placed(page.panels),
        "refresh": "30s",
        "schemaVersion": 38,
        "tags": ["sluice"],
        "templating": {"list": [_source(), *map(_choice, page.choices.items())]},
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "title": page.title,
        "uid": f"sluice-{page.name}",
        "version": 1,
    }
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """From left to right, a new line where one does not fit any more."""
    found: list[dict[str, Any]] = []
    x = y = highest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y, highest = 0, y + highest, 0
        place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
        found.append({**_panel(panel), "gridPos": place, "id": number})
        x, highest = x + panel.width, max(highest, panel.height)
    return found


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad_above is not None:
        steps.append({"color": "red", "value": panel.bad_above})
    drawn = {
        "fillOpacity": 25 if panel.stacked else 8,
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none"},
    }
    return {
        "datasource": _SOURCE,
        "description": panel.text,
        "fieldConfig": {
            "defaults": {
                "custom": drawn if panel.kind == "timeseries" else {},
                "min": 0,
                "thresholds": {"mode": "absolute", "steps": steps},
                "unit": panel.unit,
            },
            "overrides": [],
        },
        "options": _options(panel.kind),
        "targets": [_target(panel.kind, *each) for each in enumerate(panel.queries)],
        "title": panel.title,
        "type": panel.kind,
    }


def _options(kind: str) -> dict[str, Any]:
    if kind == "timeseries":
        legend = {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom"}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    if kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"colorMode": "background", "graphMode": "area", "reduceOptions": reduced}
    return {"showHeader": True}


def _target(kind: str, number: int, query: Query) -> dict[str, Any]:
    shown: dict[str, Any] = {"legendFormat": query.legend or "__auto", "range": True}
    if kind == "table":
        shown = {"format": "table", "instant": True}
    return {
        "datasource": _SOURCE,
        "expr": query.expression,
        "refId": chr(ord("A") + number),
        **shown,
    }


def _source() -> dict[str, Any]:
    return {"label": "Prometheus", "name": "source", "query": "prometheus", "type": "datasource"}


def _choice(named: tuple[str, tuple[str, str]]) -> dict[str, Any]:
    name, (metric, label) = named
    return {
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "datasource": _SOURCE,
        "includeAll": True,
        "multi": True,
        "name": name,
        "query": {"query": f"label_values({metric}, {label})", "refId": name},
        "refresh": 2,
        "sort": 1,
        "type": "query",
    }
