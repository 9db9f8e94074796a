"""Serper: Google's results as JSON, by POST.

It refuses nothing that the port does not name.
"""

from collections.abc import Sequence
from typing import Any, Final

from services.search.hits import Hit, Image, Kind, Question
from services.search.providers import shapes
from services.search.providers.transport import Call, Transport

PATHS: Final = {
    Kind.WEB: ("search", "organic"),
    Kind.IMAGES: ("images", "images"),
    Kind.NEWS: ("news", "news"),
}


class Serper:
    """The provider with SEARCH_SERPER_KEY."""

    name = "serper"

    def __init__(self, transport: Transport, url: str, key: str) -> None:
        self._transport = transport
        self._url = url
        self._key = key

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """The port's promise."""
        path, section = PATHS[question.kind]
        call = Call(
            f"{self._url}/{path}",
            headers={"X-API-KEY": self._key},
            document=_document(question),
        )
        answer = await self._transport.json(call, deadline_ms)
        found = shapes.rows(answer, section)
        return shapes.hits(found, _hit, question.count)


def _document(question: Question) -> dict[str, Any]:
    document: dict[str, Any] = {"q": question.text, "num": question.count, "page": question.page}
    for name in ("gl", "hl", "location", "tbs"):
        value = getattr(question, name)
        if value:
            document[name] = value
    if question.nfpr:
        document["autocorrect"] = False
    return document


def _hit(row: dict[str, Any]) -> Hit:
    picture = shapes.url(row.get("imageUrl"))
    return Hit(
        url=shapes.url(row.get("link")),
        title=shapes.text(row.get("title")),
        description=shapes.text(row.get("snippet")),
        date=shapes.text(row.get("date")),
        source=shapes.text(row.get("source")),
        image=Image(
            picture, shapes.number(row.get("imageWidth")), shapes.number(row.get("imageHeight"))
        )
        if picture
        else None,
    )
