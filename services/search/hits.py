"""What flows from providers to the answer: a question, its hits, and the pages behind them. Pure.

It refuses nothing; it only names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from services.reader.refusals import Refusal
from services.search.operators import Operators, compose


class Kind(Enum):
    """What is searched for; each is priced by its own scaler."""

    WEB = "web"
    IMAGES = "images"
    NEWS = "news"


@dataclass(frozen=True, slots=True)
class Question:
    """What a provider is asked. `page` counts from 1; empty strings name nothing."""

    query: str
    operators: Operators = field(default_factory=dict)
    count: int = 10
    page: int = 1
    kind: Kind = Kind.WEB
    gl: str = ""
    hl: str = ""
    location: str = ""
    tbs: str = ""
    nfpr: bool = False
    engine: str = ""

    @property
    def text(self) -> str:
        """The query with its operators, for providers that take Google's syntax."""
        return compose(self.query, self.operators)


@dataclass(frozen=True, slots=True)
class Image:
    """The picture of a hit in an image search; 0 where a size is not known."""

    url: str
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """One result. `stored` is content that the index keeps; `fetch`: its page is on the web."""

    url: str
    title: str
    description: str = ""
    date: str = ""
    source: str = ""
    image: Image | None = None
    stored: str = ""
    stored_tokens: int = 0
    fetch: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """The content behind a hit: the fields of the reader's answer, and what they count.

    `refusal`: why the reader did not even try, where the options are wrong.
    """

    fields: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = 0
    refusal: Refusal | None = None

    @property
    def content(self) -> str:
        """Markdown, or empty."""
        found = self.fields.get("content")
        return found if isinstance(found, str) else ""


NO_PAGE = Page()
