"""Writes the dashboards beside this file; `make dashboards` runs it, a test compares.

Refuses to draw (`panels` does) and to choose (each page has a module of its name): a test looks up
every metric and label of these pages on the /metrics of a running gateway.
"""

from pathlib import Path
from typing import Final

from ops.grafana import limits, money, nodes, overview, product
from ops.grafana.panels import Page, render

FOLDER: Final = Path(__file__).parent


def pages() -> tuple[Page, ...]:
    """Every dashboard, in the order in which one goes from the whole to a part."""
    return (overview.PAGE, product.PAGE, money.PAGE, limits.PAGE, nodes.PAGE)


def files() -> dict[Path, str]:
    """Each file and what stands in it."""
    return {FOLDER / f"{page.name}.json": render(page) for page in pages()}


if __name__ == "__main__":
    for _path, _content in files().items():
        _path.write_text(_content, encoding="utf-8")
