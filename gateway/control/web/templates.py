"""Pages from templates, escaped by default. Sole importer of jinja2.

Refuses a template that names something it was not given.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER: Final = Path(__file__).resolve().parent / "pages"


class Templates:
    """Renders the templates of a folder; `static` tells the address of a static file."""

    def __init__(self, static: Callable[[str], str], folder: Path = FOLDER) -> None:
        # Nothing reloads: what runs is what was started.
        self._jinja = Environment(
            loader=FileSystemLoader(folder),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._jinja.globals["static"] = static
        self._jinja.filters["number"] = number
        self._jinja.filters["fill"] = fill

    def render(self, name: str, context: dict[str, Any]) -> str:
        """The page."""
        return self._jinja.get_template(name).render(context)


def number(value: int | None) -> str:
    """1234567 as a person reads it; a dash where nothing is known."""
    return "-" if value is None else f"{value:,}"


def fill(text: str, **values: object) -> str:
    """A text of ours with its gaps filled; the result is escaped as any other."""
    return text.format(**values)
