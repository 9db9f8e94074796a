"""The Brave Search API: web, news and images, each at its own address.

It takes at most 20 results and nine pages after the first; beyond them there are no hits. It
refuses nothing that the port does not name.
"""

from collections.abc import Sequence
from typing import Any, Final

from services.search.hits import Hit, Image, Kind, Question
from services.search.providers import shapes
from services.search.providers.port import ProviderError
from services.search.providers.searxng import AGE
from services.search.providers.transport import Call, Transport

PATHS: Final = {Kind.WEB: "web", Kind.IMAGES: "images", Kind.NEWS: "news"}
FRESHNESS: Final = {"h": "pd", "d": "pd", "w": "pw", "m": "pm", "y": "py"}
LAST_OFFSET: Final = 9
# Longer questions it answers with an error, as it does other countries and languages.
QUERY_CHARACTERS, QUERY_WORDS = 400, 50
_COUNTRIES: Final = """
    ar at au be br ca ch cl cn de dk es fi fr gb hk id in it jp kr mx my nl no nz ph pl pt ru sa se
    tr tw us za
"""
_LANGUAGES: Final = """
    ar bg bn ca cs da de en en-gb es et eu fi fr gl gu he hi hr hu is it jp kn ko lt lv ml mr ms nb
    nl pa pl pt-br pt-pt ro ru sk sl sr sv ta te th tr uk vi zh-hans zh-hant
"""
COUNTRIES: Final = frozenset(_COUNTRIES.split())
LANGUAGES: Final = frozenset(_LANGUAGES.split())
# Its own codes for languages that others call otherwise.
CALLED: Final = {
    "ja": "jp",
    "zh": "zh-hans",
    "zh-cn": "zh-hans",
    "zh-tw": "zh-hant",
    "zh-hk": "zh-hant",
    "pt": "pt-br",
    "no": "nb",
    "iw": "he",
}


class Brave:
    """The provider with SEARCH_BRAVE_KEY."""

    name = "brave"

    def __init__(self, transport: Transport, url: str, key: str) -> None:
        self._transport = transport
        self._url = url
        self._key = key

    async def find(self, question: Question, deadline_ms: int) -> Sequence[Hit]:
        """The port's promise."""
        if question.page - 1 > (0 if question.kind is Kind.IMAGES else LAST_OFFSET):
            return []
        call = Call(
            f"{self._url}/res/v1/{PATHS[question.kind]}/search",
            _query(question),
            {"X-Subscription-Token": self._key},
        )
        answer = await self._transport.json(call, deadline_ms)
        if question.kind is Kind.WEB:
            # Without hits of the web the whole section is missing, but not the echo of the query.
            if "web" not in answer and "query" not in answer:
                raise ProviderError("the answer is no search of Brave's")
            found = shapes.rows(shapes.inner(answer, "web"), "results", needed="web" in answer)
        else:
            found = shapes.rows(answer, "results")
        return shapes.hits(found, _image if question.kind is Kind.IMAGES else _hit, question.count)


def _query(question: Question) -> dict[str, str]:
    text = " ".join(question.text.split()[:QUERY_WORDS])[:QUERY_CHARACTERS]
    query = {"q": text, "count": str(question.count)}
    if question.kind is not Kind.IMAGES:
        query["offset"] = str(question.page - 1)
    country = "gb" if question.gl == "uk" else question.gl
    if country in COUNTRIES:
        query["country"] = country.upper()
    language = _language(question.hl)
    if language:
        query["search_lang"] = language
    if question.nfpr:
        query["spellcheck"] = "0"
    age = AGE.search(question.tbs)
    if age is not None and question.kind is not Kind.IMAGES:
        query["freshness"] = FRESHNESS[age[1]]
    return query


def _language(hl: str) -> str:
    """The language in its own codes, with its region if it knows that; empty if not at all."""
    whole = hl.replace("_", "-")
    for code in (whole, whole.partition("-")[0]):
        called = CALLED.get(code, code)
        if called in LANGUAGES:
            return called
    return ""


def _hit(row: dict[str, Any]) -> Hit:
    return Hit(
        url=shapes.url(row.get("url")),
        title=shapes.text(row.get("title")),
        description=shapes.text(row.get("description")),
        date=shapes.text(row.get("page_age")) or shapes.text(row.get("age")),
        source=shapes.text(shapes.inner(row, "profile").get("name")),
    )


def _image(row: dict[str, Any]) -> Hit:
    size = shapes.inner(row, "properties")
    return Hit(
        url=shapes.url(row.get("url")),
        title=shapes.text(row.get("title")),
        source=shapes.text(row.get("source")),
        image=Image(
            shapes.url(size.get("url")),
            shapes.number(size.get("width")),
            shapes.number(size.get("height")),
        ),
    )
