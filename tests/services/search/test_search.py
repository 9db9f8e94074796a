"""The search as its clients see it: routes, forms, charge, refusals; real processes and HTTP."""

import asyncio
import time
from typing import Any

import orjson
import pytest

from tests.services.asking import Answer, Asker
from tests.services.search.standins import Standin, row, searxng
from tests.services.site import Site

JSON = {"Accept": "application/json"}
EVENTS = {"Accept": "text/event-stream"}


def events(answer: Answer) -> list[tuple[str, Any]]:
    """The frames of a stream: their names and what they carry."""
    found = []
    for frame in answer.text.split("\n\n"):
        if frame:
            name, data = frame.split("\n", 1)
            found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


async def test_fresh_machine_answers_from_its_own_texts(local: Asker) -> None:
    answer = await local.get("/sliding%20window%20limiter")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.tokens == 10_000
    head, _, content = answer.text.partition("\n\n")
    lines = head.split("\n")
    assert lines[0].startswith("[1] Title: ")
    assert lines[1].startswith("[1] URL Source: https://docs.localhost/")
    assert lines[2].startswith("[1] Description: ")
    assert "window" in content.partition("\n\n[2] Title: ")[0]


@pytest.mark.parametrize("path", ["/?q=sliding+window&num=3", "/search?q=sliding%20window&num=3"])
async def test_every_route_gives_the_same_hits(local: Asker, path: str) -> None:
    expected = (await local.get("/sliding%20window?count=3", JSON)).json
    assert (await local.get(path, JSON)).json == expected
    body = {"q": "sliding window", "num": 3}
    assert (await local.post("/", body, JSON)).json == expected
    assert (await local.post("/search", body, JSON)).json == expected
    form = {"Content-Type": "application/x-www-form-urlencoded", **JSON}
    assert (await local.post("/", b"q=sliding+window&num=3", form)).json == expected
    assert len(expected["data"]) == 3


async def test_json_form_is_the_contracts(local: Asker) -> None:
    answer = await local.get("/?q=sliding%20window&num=2", JSON)
    assert answer.headers["Content-Type"] == "application/json"
    document = answer.json
    assert (document["code"], document["status"]) == (200, 20000)
    assert document["meta"] == {"usage": {"tokens": 10_000}}
    for hit in document["data"]:
        assert set(hit) == {"title", "url", "description", "content", "usage"}
        assert hit["content"]
        assert hit["usage"] == {"tokens": 5_000}


@pytest.mark.parametrize("headers", [{"X-Respond-With": "no-content"}, {}])
async def test_without_content_hits_keep_an_empty_one(
    local: Asker, headers: dict[str, str]
) -> None:
    path = "/?q=sliding+window" if headers else "/?q=sliding+window&num=0"
    answer = await local.get(path, {**headers, **JSON})
    assert answer.tokens == 10_000
    assert len(answer.json["data"]) > 1
    assert {hit["content"] for hit in answer.json["data"]} == {""}
    text = await local.get(path, headers)
    assert "\n\n[2] Title: " in text.text
    assert text.text.count("\n\n") == len(answer.json["data"]) - 1


async def test_events_grow_and_end_with_the_usage(web: Asker, standin: Standin, site: Site) -> None:
    rows = [row(f"{site.origin}{path}") for path in ("/page/article", "/slow")]
    standin.answers["/searxng grow"] = searxng(*rows)
    answer = await web.get("/grow", EVENTS)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    frames = events(answer)
    assert [name for name, _ in frames] == ["data"] * (len(frames) - 1) + ["usage"]
    filled = [sum(bool(hit["content"]) for hit in hits) for name, hits in frames if name == "data"]
    assert filled == [0, 1, 2]
    assert frames[-1][1] == {"meta": {"usage": {"tokens": 10_000}}}
    [bare, usage] = events(await web.get("/grow?num=0", EVENTS))
    assert [hit["content"] for hit in bare[1]] == ["", ""]
    assert usage[1] == {"meta": {"usage": {"tokens": 10_000}}}


async def test_pages_are_read_through_the_reader_with_its_options(
    web: Asker, standin: Standin, site: Site
) -> None:
    standin.answers["/searxng pages"] = searxng(
        row(f"{site.origin}/page/article", "The article", "snippet", publishedDate="2024-05-06"),
        row(f"{site.origin}/missing-empty", "Gone"),
    )
    answer = await web.get("/pages", {"X-With-Links-Summary": "true", **JSON})
    first, second = answer.json["data"]
    assert first["title"] == "The article"
    assert first["description"] == "snippet"
    assert first["date"] == "2024-05-06"
    assert "A lock is a chamber" in first["content"]
    assert first["links"]
    assert second["content"] == ""
    selected = await web.get("/pages", {"X-Target-Selector": "h1", **JSON})
    assert "A lock is a chamber" not in selected.json["data"][0]["content"]
    body = {"q": "pages", "targetSelector": "h1"}
    assert (await web.post("/", body, JSON)).json == selected.json
    in_query = await web.get("/pages?targetSelector=h1", JSON)
    assert in_query.json == selected.json
    html = await web.get("/pages", {"X-Return-Format": "html", **JSON})
    assert html.json["data"][0]["html"].lstrip().startswith("<")
    assert html.json["data"][0]["content"] == ""
    text = await web.get("/pages", {"X-With-Links-Summary": "true"})
    assert "[1] Title: The article\n" in text.text
    assert "[1] Date: 2024-05-06\n" in text.text
    assert "\n\nLinks/Buttons:\n- [" in text.text


async def test_the_reader_acts_for_the_client_who_asks(
    web: Asker, standin: Standin, site: Site
) -> None:
    standin.answers["/searxng agent"] = searxng(row(f"{site.origin}/page/links?agent"))
    await web.get("/agent", {"X-User-Agent": "Tester/1", "X-Token-Budget": "1", **JSON})
    seen = [headers for path, headers in site.requests if path == "/page/links?agent"]
    assert seen
    assert seen[0]["User-Agent"] == "Tester/1"


async def test_content_beyond_the_flat_price_is_what_is_charged(
    web: Asker, standin: Standin, site: Site
) -> None:
    standin.answers["/searxng long"] = searxng(
        row(f"{site.origin}/words/16000"), row(f"{site.origin}/page/links")
    )
    answer = await web.get("/long", JSON)
    told = [hit["usage"]["tokens"] for hit in answer.json["data"]]
    assert answer.tokens == sum(told) > 16_000
    assert answer.json["meta"] == {"usage": {"tokens": answer.tokens}}
    trimmed = await web.get("/long", {"X-Max-Tokens": "500", **JSON})
    assert trimmed.tokens == 10_000


async def test_more_than_ten_hits_and_other_kinds_cost_more(web: Asker, standin: Standin) -> None:
    rows = [row(f"https://h{n}.example/") for n in range(15)]
    standin.answers["/searxng many"] = searxng(*rows)
    assert (await web.get("/many?num=20", {"X-Respond-With": "no-content"})).tokens == 20_000
    assert (await web.get("/many?num=0", {})).tokens == 10_000
    assert (await web.get("/many?num=0&provider=bing", {})).tokens == 30_000
    assert (await web.get("/many?num=0&type=news", {})).tokens == 50_000


async def test_pictures_come_without_pages(web: Asker, standin: Standin) -> None:
    picture = row("https://a.com/p", img_src="https://a.com/1.png", resolution="640x480")
    standin.answers["/searxng pictures"] = searxng(picture)
    answer = await web.get("/pictures?type=images", JSON)
    [hit] = answer.json["data"]
    assert hit["imageUrl"] == "https://a.com/1.png"
    assert (hit["imageWidth"], hit["imageHeight"]) == (640, 480)
    assert hit["content"] == ""
    assert answer.tokens == 50_000
    assert "[1] Image URL: https://a.com/1.png\n" in (await web.get("/pictures?type=images")).text


async def test_operators_reach_the_provider_wherever_they_come_from(
    web: Asker, standin: Standin
) -> None:
    expected = "ops (site:a.com OR site:b.com) AND (ext:pdf)"
    standin.answers[f"/searxng {expected}"] = searxng(row("https://a.com/"))
    bare = {"X-Respond-With": "no-content", **JSON}
    assert (await web.get("/ops?site=a.com&site=b.com&ext=pdf", bare)).status == 200
    assert (await web.get("/ops?ext=pdf", {"X-Site": "https://a.com, b.com", **bare})).status == 200
    body = {"q": "ops", "site": ["a.com", "b.com"], "ext": "pdf"}
    assert (await web.post("/", body, bare)).status == 200
    in_text = "/ops%20(site:a.com%20OR%20site:b.com)%20AND%20(ext:pdf)"
    assert (await web.get(in_text, bare)).status == 200
    assert len(standin.asked(expected)) == 4


async def test_parameters_reach_the_provider(web: Asker, standin: Standin) -> None:
    standin.answers["/searxng where"] = searxng(row("https://a.com/"))
    path = "/where?gl=US&hl=pt-BR&location=Lisbon&page=3&tbs=qdr:d&num=5"
    assert (await web.get(path, {"X-Respond-With": "no-content"})).status == 200
    [seen] = standin.asked("where")
    assert seen.query["language"] == "pt-BR"
    assert seen.query["pageno"] == "3"
    assert seen.query["time_range"] == "day"


async def test_provider_can_be_named(web: Asker, standin: Standin) -> None:
    standin.answers["/search named"] = {"organic": [{"link": "https://s.com/", "title": "S"}]}
    standin.answers["/searxng named"] = searxng(row("https://x.com/"))
    bare = {"X-Respond-With": "no-content", **JSON}
    assert (await web.get("/named?provider=serper", bare)).json["data"][0]["title"] == "S"
    google = await web.get("/named?engine=google", bare)
    assert google.json["data"][0]["url"] == "https://s.com/"
    assert google.tokens == 10_000
    own = await web.get("/sliding%20window?provider=local", bare)
    assert own.json["data"][0]["url"].startswith("https://docs.")


@pytest.mark.parametrize("trouble", ["429", "500", "cut", b"<html>", "silent"])
async def test_next_provider_answers_when_the_first_is_in_trouble(
    web: Asker, standin: Standin, trouble: Any
) -> None:
    query = f"trouble{str(trouble)[:3].strip('b<')}"
    standin.answers[f"/searxng {query}"] = trouble
    standin.answers[f"/search {query}"] = {"organic": [{"link": "https://s.com/", "title": "S"}]}
    answer = await web.get(f"/{query}?num=0", JSON)
    assert [hit["url"] for hit in answer.json["data"]] == ["https://s.com/"]


async def test_all_providers_in_trouble_is_422_and_free(web: Asker, standin: Standin) -> None:
    standin.answers["/searxng alltrouble"] = "500"
    standin.answers["/search alltrouble"] = "429"
    answer = await web.get("/alltrouble", JSON)
    assert (answer.status, answer.json["status"]) == (422, 42205)
    assert answer.void


async def test_no_hits_is_422_and_free(web: Asker, local: Asker, standin: Standin) -> None:
    standin.answers["/searxng none"] = searxng()
    standin.answers["/search none"] = {"organic": []}
    for answer in (await web.get("/none", JSON), await local.get("/qqqqzzzz")):
        assert answer.status == 422
        assert answer.json["status"] == 42206
        assert answer.json["name"] == "AssertionFailureError"
        assert answer.json["message"].startswith("No search results available for query ")
        assert answer.void


async def test_fallback_drops_words_until_there_are_hits(web: Asker, standin: Standin) -> None:
    for query in ("one two three", "one two"):
        standin.answers[f"/searxng {query}"] = searxng()
        standin.answers[f"/search {query}"] = {"organic": []}
    standin.answers["/searxng one"] = searxng(row("https://a.com/"))
    assert (await web.get("/one%20two%20three?num=0")).status == 422
    assert (await web.get("/one%20two%20three?num=0&fallback=true")).status == 200


async def test_what_arrived_by_the_deadline_is_answered(
    web: Asker, standin: Standin, site: Site
) -> None:
    paths = ("/page/article", "/silent", "/drip")
    standin.answers["/searxng late"] = searxng(*(row(f"{site.origin}{path}") for path in paths))
    begun = time.monotonic()
    answer = await web.get("/late", {"X-Timeout": "4", **JSON})
    assert time.monotonic() - begun < 20
    contents = [hit["content"] for hit in answer.json["data"]]
    assert contents[0]
    assert contents[1:] == ["", ""]
    assert answer.tokens == 10_000


async def test_pages_are_read_at_the_same_time(web: Asker, standin: Standin, site: Site) -> None:
    rows = [row(f"{site.origin}/slow?{n}") for n in range(10)]
    standin.answers["/searxng together"] = searxng(*rows)
    begun = time.monotonic()
    answer = await web.get("/together", JSON)
    assert all(hit["content"] for hit in answer.json["data"])
    # One after the other takes as long as this at least.
    assert time.monotonic() - begun < 10


BAD = [
    *("?q=", "?q=%20%00", "x?num=21", "x?num=-1", "x?num=ten", "x?num=1.5", "x?count=99"),
    *("x?gl=xx", "x?gl=usa", "x?hl=qq", "x?hl=en-zz", "x?page=0", "x?page=101", "x?page=a"),
    *("x?type=videos", "x?provider=altavista", "x?site=a%20b", "x?ext=(a)", "x?provider=brave"),
    *("a" * 2100, "x?tbs=" + "y" * 300, "x?location=%0a", "x?targetSelector=*"),
]


@pytest.mark.parametrize("path", BAD)
async def test_bad_parameters_are_400_and_free(local: Asker, path: str) -> None:
    answer = await local.get(f"/{path}", JSON)
    assert answer.status == 400
    assert answer.json["status"] == 40001
    assert answer.json["name"] == "ParamValidationError"
    assert answer.json["data"] is None
    assert answer.json["readableMessage"] == f"ParamValidationError: {answer.json['message']}"
    assert answer.void


ODD_BODIES: list[bytes] = [
    *(b"{", b"[]", b'"q"', b"null", b"{}", b'{"q": 5}', b'{"q": ["a", 1]}', b'{"q": {}}'),
    *(b'{"q": "x", "num": "many"}', b'{"q": "x", "num": true}', b'{"q": "x", "site": [1]}'),
    *(b'{"q": "x", "gl": 5}', b'{"q": "x", "timeout": -1}', b'{"q": "x", "type": [[]]}'),
    b'{"q": "x", "respondWith": "nothing"}',
    b'{"q": "x", "respondWith": 7}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("body", ODD_BODIES)
async def test_odd_bodies_are_400_and_free(local: Asker, body: bytes) -> None:
    answer = await local.post("/", body, JSON)
    assert answer.status == 400
    assert answer.json["status"] == 40001
    assert answer.void


async def test_selector_that_is_none_is_refused_in_the_readers_words(
    web: Asker, standin: Standin, site: Site
) -> None:
    standin.answers["/searxng selector"] = searxng(row(f"{site.origin}/page/article"))
    answer = await web.get("/selector", {"X-Target-Selector": "p[", **JSON})
    assert (answer.status, answer.json["status"]) == (400, 40001)
    assert answer.void
    frames = events(await web.get("/selector", {"X-Target-Selector": "p[", **EVENTS}))
    assert frames[-1][0] == "error"
    assert frames[-1][1]["status"] == 40001


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain, */*", "application/json"])
async def test_refusals_are_json_unless_it_is_excluded(local: Asker, accept: str) -> None:
    answer = await local.get("/x?num=99", {"Accept": accept} if accept else {})
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json["status"] == 40001
    assert answer.void


async def test_refusals_are_in_the_only_form_that_is_accepted(local: Asker) -> None:
    line = await local.get("/x?num=99", {"Accept": "text/plain"})
    assert line.text.startswith("ParamValidationError: num must be ")
    event = await local.get("/x?num=99", {"Accept": "text/event-stream"})
    assert event.text.startswith('event: error\ndata: {"data":null,')
    assert line.status == event.status == 400
    assert line.void
    assert event.void


async def test_a_query_may_have_lines(local: Asker) -> None:
    answer = await local.get("/sliding%0Awindow")
    assert answer.status == 200
    assert answer.text.startswith("[1] Title: ")


async def test_several_formats_need_json(local: Asker) -> None:
    headers = {"X-Respond-With": "markdown+html"}
    assert (await local.get("/sliding", headers)).status == 400
    assert (await local.get("/sliding", {**headers, **JSON})).status == 200


@pytest.mark.parametrize("path", ["/", "/search"])
async def test_no_query_is_the_index_page_and_free(local: Asker, path: str) -> None:
    answer = await local.get(path)
    assert answer.status == 200
    assert answer.text.startswith("[")
    assert "https://s.localhost/YOUR_SEARCH_QUERY" in answer.text
    assert answer.void
    assert "note" in (await local.get(path, JSON)).json["data"]
    assert (await local.post(path, {}, JSON)).status == 400


async def test_other_methods_are_405_and_strangers_401(local: Asker) -> None:
    answer = await local.raw("GET", "/x", {})
    assert (answer.status, answer.json["status"]) == (401, 40102)
    assert answer.void


async def test_favicons_come_as_data_uris(web: Asker, standin: Standin, site: Site) -> None:
    standin.answers["/favicon.ico"] = b"\x89PNG\r\n\x1a\n..."
    rows = [row(f"{standin.base}/a"), row("http://10.0.0.1/private"), row(f"{standin.base}/b")]
    standin.answers["/searxng icons"] = searxng(*rows)
    answer = await web.get("/icons?num=0", {"X-With-Favicons": "true", **JSON})
    first, second, third = answer.json["data"]
    assert first["favicon"] == third["favicon"] == "data:image/png;base64,iVBORw0KGgouLi4="
    assert "favicon" not in second
    assert len([one for one in standin.seen if one.path == "/favicon.ico"]) == 1
    assert (
        "[1] Favicon: data:image/png"
        in (await web.get("/icons?num=0", {"X-With-Favicons": "true"})).text
    )


async def test_private_hits_have_no_content(web: Asker, standin: Standin) -> None:
    standin.answers["/searxng private"] = searxng(row(f"{standin.base}/secret"))
    answer = await web.get("/private", JSON)
    assert [hit["content"] for hit in answer.json["data"]] == [""]
    assert all(one.path != "/secret" for one in standin.seen)


async def test_many_searches_at_once_are_all_answered(local: Asker) -> None:
    found = await asyncio.gather(*(local.get(f"/window{n % 3}%20limit") for n in range(60)))
    assert {answer.status for answer in found} == {200}
