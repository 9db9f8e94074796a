"""Every provider speaks its API, and a bad day of one is no bad day of the search."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.search.hits import Hit, Image, Kind, Question
from services.search.providers.arxiv import Arxiv
from services.search.providers.brave import Brave
from services.search.providers.chain import Chain, Found
from services.search.providers.port import BusyError, Provider, ProviderError
from services.search.providers.searxng import Searxng
from services.search.providers.serper import Serper
from services.search.providers.transport import Transport
from tests.services.search.standins import Standin, row, searxng

QUESTION = Question(
    "locks",
    {"site": ("a.com", "b.com")},
    count=3,
    page=2,
    gl="us",
    hl="en",
    location="Delft",
    tbs="qdr:w",
    nfpr=True,
)
FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title type="html">ArXiv Query</title>
<opensearch:totalResults xmlns:opensearch="x">1</opensearch:totalResults>
<entry><id>http://arxiv.org/abs/2101.00001v2</id><updated>2021-02-02T00:00:00Z</updated>
<published>2021-01-01T00:00:00Z</published><title>Locks &amp; weirs,
  revisited</title><summary>  We study
locks.</summary><author><name>A. Lock</name></author>
<link href="http://arxiv.org/abs/2101.00001v2" rel="alternate" type="text/html"/></entry></feed>"""
ERROR_FEED = """<feed xmlns="http://www.w3.org/2005/Atom"><entry>
<id>http://arxiv.org/api/errors#bad</id><title>Error</title><summary>bad</summary></entry></feed>"""


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport()
    yield transport
    await transport.close()


def every(transport: Transport, base: str) -> list[Provider]:
    return [
        Searxng(transport, f"{base}/searxng"),
        Brave(transport, base, "bk"),
        Serper(transport, base, "sk"),
        Arxiv(transport, f"{base}/arxiv"),
    ]


PATHS = ("/searxng", "/res/v1/web/search", "/search", "/arxiv")


async def test_searxng_speaks_searxng(standin: Standin, transport: Transport) -> None:
    good = row("https://a.com/1", "<b>A</b> &amp; B", "one\n two", publishedDate="2024-01-02")
    rows = [good, good, row("ftp://x/"), {"url": 7}, *(row(f"https://b.com/{n}") for n in range(9))]
    standin.answers["/searxng"] = searxng(*rows)
    found = await Searxng(transport, f"{standin.base}/searxng").find(QUESTION, 2000)
    assert found[0] == Hit("https://a.com/1", "A & B", "one two", "2024-01-02")
    assert len(found) == 3
    assert standin.seen[-1].query == {
        "q": "locks site:a.com OR site:b.com",
        "format": "json",
        "pageno": "2",
        "categories": "general",
        "language": "en-US",
        "time_range": "week",
    }


async def test_searxng_finds_pictures(standin: Standin, transport: Transport) -> None:
    picture = row(
        "https://a.com/p", img_src="//cdn.a.com/1.png", resolution="640 x 480", source="A"
    )
    standin.answers["/searxng"] = searxng(picture)
    question = Question("locks", kind=Kind.IMAGES, engine="bing")
    [found] = await Searxng(transport, f"{standin.base}/searxng").find(question, 2000)
    assert found.image == Image("https://cdn.a.com/1.png", 640, 480)
    assert found.source == "A"
    assert standin.seen[-1].query["engines"] == "bing"
    assert standin.seen[-1].query["categories"] == "images"


async def test_brave_speaks_brave(standin: Standin, transport: Transport) -> None:
    standin.answers["/res/v1/web/search"] = {
        "type": "search",
        "web": {
            "type": "search",
            "results": [
                {
                    "title": "A",
                    "url": "https://a.com/",
                    "description": "about <strong>locks</strong>",
                    "page_age": "2024-01-02T00:00:00",
                    "age": "January 2, 2024",
                    "profile": {"name": "A site"},
                }
            ],
        },
    }
    brave = Brave(transport, standin.base, "bk")
    [found] = await brave.find(QUESTION, 2000)
    assert found == Hit("https://a.com/", "A", "about locks", "2024-01-02T00:00:00", "A site")
    seen = standin.seen[-1]
    assert seen.headers["X-Subscription-Token"] == "bk"
    assert seen.query == {
        "q": "locks site:a.com OR site:b.com",
        "count": "3",
        "offset": "1",
        "country": "US",
        "search_lang": "en",
        "spellcheck": "0",
        "freshness": "pw",
    }
    standin.answers["/res/v1/web/search"] = {"type": "search", "query": {}}
    assert await brave.find(QUESTION, 2000) == []
    assert await brave.find(Question("locks", page=11), 2000) == []
    standin.answers["/res/v1/images/search"] = {
        "results": [
            {
                "title": "P",
                "url": "https://a.com/p",
                "source": "a.com",
                "properties": {"url": "https://a.com/p.png", "width": 9, "height": True},
            }
        ]
    }
    [picture] = await brave.find(Question("locks", kind=Kind.IMAGES), 2000)
    assert picture.image == Image("https://a.com/p.png", 9, 0)


@pytest.mark.parametrize(
    ("gl", "hl", "country", "language"),
    [
        ("uk", "en-gb", "GB", "en-gb"),
        ("jp", "ja", "JP", "jp"),
        ("tw", "zh-tw", "TW", "zh-hant"),
        ("br", "pt", "BR", "pt-br"),
        ("de", "de-at", "DE", "de"),
        ("va", "la", None, None),
        ("", "", None, None),
    ],
)
async def test_brave_is_asked_in_its_own_codes_and_only_for_what_it_knows(
    standin: Standin, transport: Transport, gl: str, hl: str, country: str, language: str
) -> None:
    standin.answers["/res/v1/web/search"] = {"type": "search", "query": {}}
    long = "lock " * 80
    await Brave(transport, standin.base, "bk").find(Question(long, gl=gl, hl=hl), 2000)
    seen = standin.seen[-1].query
    assert (seen.get("country"), seen.get("search_lang")) == (country, language)
    assert len(seen["q"].split()) == 50


async def test_serper_speaks_serper(standin: Standin, transport: Transport) -> None:
    standin.answers["/search"] = {
        "searchParameters": {"q": "locks"},
        "organic": [
            {"title": "A", "link": "https://a.com/", "snippet": "s", "date": "2 days ago"},
        ],
    }
    serper = Serper(transport, standin.base, "sk")
    assert await serper.find(QUESTION, 2000) == [Hit("https://a.com/", "A", "s", "2 days ago")]
    seen = standin.seen[-1]
    assert seen.method == "POST"
    assert seen.headers["X-API-KEY"] == "sk"
    assert seen.body == {
        "q": "locks site:a.com OR site:b.com",
        "num": 3,
        "page": 2,
        "gl": "us",
        "hl": "en",
        "location": "Delft",
        "tbs": "qdr:w",
        "autocorrect": False,
    }
    standin.answers["/news"] = {
        "news": [{"title": "N", "link": "https://n.com/", "source": "N", "imageUrl": "nope"}]
    }
    news = await serper.find(Question("locks", kind=Kind.NEWS), 2000)
    assert news == [Hit("https://n.com/", "N", source="N")]


async def test_arxiv_speaks_atom(standin: Standin, transport: Transport) -> None:
    standin.answers["/arxiv"] = FEED.encode()
    arxiv = Arxiv(transport, f"{standin.base}/arxiv")
    question = Question("locks and-or weirs", {"intitle": ("gate",)}, count=5, page=3)
    assert await arxiv.find(question, 2000) == [
        Hit(
            "https://arxiv.org/abs/2101.00001v2",
            "Locks & weirs, revisited",
            "We study locks.",
            "2021-01-01T00:00:00Z",
        )
    ]
    assert standin.seen[-1].query == {
        "search_query": 'all:locks AND all:and-or AND all:weirs AND (ti:"gate")',
        "start": "10",
        "max_results": "5",
        "sortBy": "relevance",
        "sortOrder": "descending",
    }
    standin.answers["/arxiv"] = ERROR_FEED.encode()
    with pytest.raises(ProviderError):
        await arxiv.find(question, 2000)
    assert await arxiv.find(Question("locks", kind=Kind.NEWS), 2000) == []


GARBAGE: tuple[Any, ...] = (
    *("429", "500", "redirect", "huge", "cut"),
    *(b"", b"\x00\xff", b"<html>", b"[]", b"null", b'{"results": 3}', b'{"web": 5, "organic": {}}'),
)


@pytest.mark.parametrize("answer", GARBAGE)
async def test_what_is_no_answer_is_a_provider_error(
    standin: Standin, transport: Transport, answer: Any
) -> None:
    for path, provider in zip(PATHS, every(transport, standin.base), strict=True):
        standin.answers[path] = answer
        kind = BusyError if answer == "429" else ProviderError
        with pytest.raises(kind):
            await provider.find(QUESTION, 2000)


async def test_deadline_of_a_provider_holds(standin: Standin, transport: Transport) -> None:
    for path, provider in zip(PATHS, every(transport, standin.base), strict=True):
        standin.answers[path] = "silent"
        with pytest.raises(ProviderError, match="within 60 ms"):
            await provider.find(QUESTION, 60)


class _Scripted:
    """A provider that does as it is told."""

    def __init__(self, name: str, outcome: list[Hit] | ProviderError) -> None:
        self.name = name
        self._outcome = outcome

    async def find(self, question: Question, deadline_ms: int) -> list[Hit]:
        if isinstance(self._outcome, ProviderError):
            raise self._outcome
        return self._outcome


HIT = [Hit("https://a.com/", "A")]
LATER = 10**9


async def test_chain_goes_on_after_failures_and_empty_answers() -> None:
    providers = [
        _Scripted("serper", BusyError("429")),
        _Scripted("brave", []),
        _Scripted("searxng", HIT),
    ]
    chain = Chain(providers, ["serper", "brave", "searxng"], 1000)
    assert await chain.find(Question("q"), "", LATER) == Found(tuple(HIT), "searxng")
    assert await chain.find(Question("q"), "brave", LATER) == Found((), "brave")
    failed = await chain.find(Question("q"), "serper", LATER)
    assert not isinstance(failed, Found)
    assert failed.number == 42205
    unknown = await chain.find(Question("q"), "arxiv", LATER)
    assert not isinstance(unknown, Found)
    assert unknown.number == 40001


async def test_chain_asks_first_who_serves_the_engine_and_bing_only_where_it_is_bing() -> None:
    providers = [_Scripted("brave", HIT), _Scripted("searxng", HIT)]
    chain = Chain(providers, ["brave", "searxng"], 1000)
    bing = await chain.find(Question("q", engine="bing"), "", LATER)
    assert bing == Found(tuple(HIT), "searxng", is_bing=True)
    assert await Chain(providers, ["brave"], 1000).find(
        Question("q", engine="bing"), "", LATER
    ) == Found(tuple(HIT), "brave")


async def test_chain_out_of_time_asks_nobody() -> None:
    chain = Chain([_Scripted("brave", HIT)], ["brave"], 1000)
    found = await chain.find(Question("q"), "", 0.0)
    assert not isinstance(found, Found)
    assert found.status == 422
