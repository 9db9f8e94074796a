"""SearXNG, or whatever speaks its JSON: `?q=...&format=json`.

It has no page size: a page is what its engines give, and is cut at the number asked for. It refuses
nothing that the port does not name.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

from services.search.hits import Hit, Image, Kind, Question
from services.search.providers import shapes
from services.search.providers.transport import Call, Transport

CATEGORIES: Final = {Kind.WEB: "general", Kind.IMAGES: "images", Kind.NEWS: "news"}
# Google's tbs=qdr:x; an hour is not on offer, so a day is the nearest that misses nothing.
RANGES: Final = {"h": "day", "d": "day", "w": "week", "m": "month", "y": "year"}
AGE: Final = re.compile(r"(?:^|,)qdr:([hdwmy])")
RESOLUTION: Final = re.compile(r"(\d{1,5})\s*[x×*]\s*(\d{1,5})")


class Searxng:
    """The provider at SEARCH_URL."""

    name = "searxng"

    def __init__(self, transport: Transport, url: str) -> None:
        self._transport = transport
        self._url = url

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """The port's promise."""
        query = {
            "q": question.text,
            "format": "json",
            "pageno": str(question.page),
            "categories": CATEGORIES[question.kind],
        }
        if question.hl:
            query["language"] = _language(question.hl, question.gl)
        if question.engine:
            query["engines"] = question.engine
        age = AGE.search(question.tbs)
        if age is not None:
            query["time_range"] = RANGES[age[1]]
        answer = await self._transport.json(Call(self._url, query), deadline_ms)
        found = shapes.rows(answer, "results")
        return shapes.hits(found, _image if question.kind is Kind.IMAGES else _hit, question.count)


def _language(hl: str, gl: str) -> str:
    """`en-US` as SearXNG writes it; a country alone says no language."""
    language, dash, region = hl.replace("_", "-").partition("-")
    region = region if dash else gl
    return f"{language}-{region.upper()}" if region else language


def _hit(row: dict[str, Any]) -> Hit:
    return Hit(
        url=shapes.url(row.get("url")),
        title=shapes.text(row.get("title")),
        description=shapes.text(row.get("content")),
        date=shapes.text(row.get("publishedDate")),
    )


def _image(row: dict[str, Any]) -> Hit:
    size = RESOLUTION.search(shapes.text(row.get("resolution")))
    width, height = (int(size[1]), int(size[2])) if size else (0, 0)
    address = shapes.text(row.get("img_src"))
    return Hit(
        url=shapes.url(row.get("url")),
        title=shapes.text(row.get("title")),
        description=shapes.text(row.get("content")),
        source=shapes.text(row.get("source")),
        image=Image(
            shapes.url(f"https:{address}" if address.startswith("//") else address), width, height
        ),
    )
