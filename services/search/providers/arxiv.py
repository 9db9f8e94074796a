"""arXiv: articles as an Atom feed. It has no pictures, no news, and no sites but its own.

The feed is read by a parser that knows no entities of a document's own and never fails; an answer
without a feed is a ProviderError.
"""

import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Final

from services.search.hits import Hit, Kind, Question
from services.search.providers import shapes
from services.search.providers.port import ProviderError
from services.search.providers.transport import Call, Transport

WORD: Final = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
WORDS: Final = 12
FIELDS: Final = frozenset({"id", "title", "summary", "published"})
ERROR_ID: Final = "/api/errors"


class Arxiv:
    """The provider at SEARCH_ARXIV_URL, which needs no key."""

    name = "arxiv"

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self._url = url

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """The port's promise."""
        wanted = _search_query(question)
        if question.kind is not Kind.WEB or not wanted:
            return []
        query = {
            "search_query": wanted,
            "start": str((question.page - 1) * question.count),
            "max_results": str(question.count),
            "sortBy": "relevance",
            "sortOrder": "descending",
        }
        call = Call(self._url, query, {"Accept": "application/atom+xml"})
        body = await self._transport.fetch(call, deadline_ms)
        feed = _Feed()
        feed.feed(body.decode("utf-8", "replace"))
        feed.close()
        if not feed.seen:
            raise ProviderError("the answer is no Atom feed")
        if any(ERROR_ID in entry.get("id", "") for entry in feed.entries):
            raise ProviderError("the feed is an error")
        return shapes.hits([dict(entry) for entry in feed.entries], _hit, question.count)


def _search_query(question: Question) -> str:
    """All words anywhere, and those of `intitle` in the title."""
    parts = [f"all:{word}" for word in WORD.findall(question.query)[:WORDS]]
    titles = question.operators.get("intitle", ())
    if titles:
        parts.append("(" + " OR ".join(f'ti:"{" ".join(WORD.findall(t))}"' for t in titles) + ")")
    return " AND ".join(parts)


def _hit(entry: dict[str, object]) -> Hit:
    address = shapes.text(entry.get("id")).replace("http://arxiv.org/", "https://arxiv.org/", 1)
    return Hit(
        url=shapes.url(address),
        title=shapes.text(entry.get("title")),
        description=shapes.text(entry.get("summary")),
        date=shapes.text(entry.get("published")),
    )


class _Feed(HTMLParser):
    """Collects the entries of a feed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = False
        self.entries: list[dict[str, str]] = []
        self._field = ""
        self._within = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        self.seen |= tag == "feed"
        if tag == "entry":
            self.entries.append({})
            self._within = True
        elif self._within and tag in FIELDS and tag not in self.entries[-1]:
            self._field = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "entry":
            self._within = False
        if tag == self._field:
            self._field = ""

    def handle_data(self, data: str) -> None:
        if self._within and self._field:
            entry = self.entries[-1]
            entry[self._field] = entry.get(self._field, "") + data
