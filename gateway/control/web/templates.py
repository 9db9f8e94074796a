"""Pages from templates, escaped by default. Sole importer of jinja2.

Refuses a template that names something it was not given. The library is loaded with the first
page: it costs six megabytes, and most processes never show one.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER: Final = Path(__file__).resolve().parent / "pages"


class Templates:
    """Renders the templates of a folder; `static` tells the address of a static file."""

    def __init__(self, static: Callable[[str], str], folder: Path = FOLDER) -> None:
        self._static = static
        self._folder = folder
        self._jinja: Environment | None = None

    def render(self, name: str, context: dict[str, Any]) -> str:
        """The page."""
        if self._jinja is None:
            self._jinja = self._environment()
        return self._jinja.get_template(name).render(context)

    def _environment(self) -> "Environment":
        library = import_module("jinja2")
        # Nothing reloads: what runs is what was started.
        made: Environment = library.Environment(
            loader=library.FileSystemLoader(self._folder),
            autoescape=True,
            undefined=library.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.globals["static"] = self._static
        made.filters["number"] = number
        made.filters["fill"] = fill
        return made


def number(value: int | None) -> str:
    """1234567 as a person reads it; a dash where nothing is known."""
    return "-" if value is None else f"{value:,}"


def fill(text: str, **values: object) -> str:
    """A text of ours with its gaps filled; the result is escaped as any other."""
    return text.format(**values)
