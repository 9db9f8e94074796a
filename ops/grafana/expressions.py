"""Prints every expression of the dashboards as a rule, so that promtool can tell whether it is one.

Refuses to look up metrics: a test does, on a running gateway.
"""

import json
import sys
from collections.abc import Iterator

from ops.grafana.pages import pages


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and the expression with Grafana's own variables filled in."""
    for page in pages():
        for panel in page.panels:
            for each in panel.queries:
                text = each.expression.replace("$__rate_interval", "5m")
                yield f"{page.name}: {panel.title}", text


if __name__ == "__main__":
    _rules = [
        {"record": f"dashboard:expression:{number}", "expr": text, "labels": {"at": place}}
        for number, (place, text) in enumerate(expressions())
    ]
    # JSON is YAML as well.
    sys.stdout.write(json.dumps({"groups": [{"name": "dashboards", "rules": _rules}]}))
