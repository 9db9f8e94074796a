"""What the reader makes of pages, in each form and with each option."""

import pytest

from services.tokenizer import Tokenizer
from tests.services.asking import Asker
from tests.services.site import Site

JSON = {"Accept": "application/json"}


async def test_article_comes_as_markdown_with_its_head(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    head, _, content = answer.text.partition("\n\nMarkdown Content:\n")
    assert head.split("\n\n") == [
        "Title: How a lock lifts a boat",
        f"URL Source: {site.origin}/page/article",
        "Published Time: 2024-05-01T10:00:00Z",
    ]
    for piece in (
        "# How a lock lifts a boat\n",
        "## The steps\n",
        "1. The lower gates are opened",
        f"[fourteenth century]({site.origin}/page/history/first.html)",
        "**every**",
        f"![Image 1: The upper gate]({site.origin}/img/gate.png)",
        "```python\ndef level(water):\n    return water + 1\n\nprint(level(2))\n```",
        "| Lock | Rise |\n| --- | --- |\n| Lower | 2 m |",
        "> Water does the work",
        "水閘是一種水利設施",
    ):
        assert piece in content, piece
    assert "never shown" not in content
    assert "Imprint" not in content


async def test_usage_is_the_token_count_of_the_content(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", JSON)
    data = answer.json["data"]
    count = Tokenizer("cl100k_base").count(data["content"])
    assert answer.tokens == data["usage"]["tokens"] == answer.json["meta"]["usage"]["tokens"]
    assert answer.tokens == count > 100


async def test_json_form_has_the_fields_of_the_contract(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", JSON)
    assert (answer.json["code"], answer.json["status"]) == (200, 20000)
    data = answer.json["data"]
    assert data["title"] == "How a lock lifts a boat"
    assert data["description"] == "The working of a canal lock, step by step."
    assert data["url"] == f"{site.origin}/page/article"
    assert data["publishedTime"] == "2024-05-01T10:00:00Z"
    assert data["metadata"]["lang"] == "en"
    assert data["external"]["canonical"] == {f"{site.origin}/page/article": {}}
    assert "links" not in data
    assert "images" not in data


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/plain", "text/plain"),
        ("application/json, */*", "text/plain"),
        ("application/json, text/plain", "text/plain"),
        ("text/html", "text/plain"),
        ("application/json", "application/json"),
        ("application/json; charset=utf-8", "application/json"),
        ("application/json, text/plain;q=0", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ],
)
async def test_form_follows_accept(reader: Asker, site: Site, accept: str, kind: str) -> None:
    headers = {"Accept": accept} if accept else {}
    answer = await reader.get(f"/{site.origin}/page/links", headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(kind)


async def test_refusal_is_json_unless_that_is_excluded(reader: Asker) -> None:
    for accept in ("", "*/*", "text/html", "text/plain, application/json"):
        answer = await reader.get("/http://10.0.0.1/", {"Accept": accept} if accept else {})
        assert answer.json["name"] == "SecurityCompromiseError"
    line = await reader.get("/http://10.0.0.1/", {"Accept": "text/plain"})
    assert line.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert line.text.startswith("SecurityCompromiseError: Suspicious action: ")
    assert line.text.endswith("10.0.0.1\n")
    event = await reader.get("/http://10.0.0.1/", {"Accept": "text/event-stream"})
    assert event.text.startswith('event: error\ndata: {"data":null,"code":451,')
    assert event.text.endswith("}\n\n")
    assert all(answer.status == 451 and answer.void for answer in (line, event))


async def test_event_form_is_one_frame_of_the_data(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/links", {"Accept": "text/event-stream"})
    assert answer.text.startswith('event: data\ndata: {"title":"Links"')
    assert answer.text.endswith("}\n\n")
    assert answer.text.count("event:") == 1


async def test_markdown_is_the_whole_page(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", {"X-Respond-With": "markdown"})
    assert "[Imprint]" in answer.text
    assert "[Home page]" in answer.text
    assert "never shown" not in answer.text


async def test_text_is_bare_and_without_marks(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", {"X-Return-Format": "text"})
    assert "URL Source" not in answer.text
    assert "fourteenth century" in " ".join(answer.text.split())
    assert "](" not in answer.text
    assert "never shown" not in answer.text


async def test_html_is_the_page_itself(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", {"X-Respond-With": "html"})
    assert answer.text.startswith("<!DOCTYPE html>")
    assert '<nav class="menu">' in answer.text


async def test_several_formats_come_in_json_only(reader: Asker, site: Site) -> None:
    wanted = {"X-Respond-With": "markdown+html"}
    refused = await reader.get(f"/{site.origin}/page/links", wanted)
    assert refused.status == 400
    assert "application/json" in refused.json["message"]
    data = (await reader.get(f"/{site.origin}/page/links", {**wanted, **JSON})).json["data"]
    assert data["content"]
    assert data["html"].startswith("<html>")


async def test_target_selector_takes_only_what_matches(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/article"
    answer = await reader.get(path, {"X-Target-Selector": "#cjk, blockquote"})
    content = answer.text.partition("Markdown Content:\n")[2]
    assert content.startswith("水閘是")
    assert content.endswith("> Water does the work, and the boatman waits.\n")


async def test_target_selector_without_match_is_422_and_free(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/article"
    answer = await reader.get(path, {"X-Target-Selector": ".nowhere"})
    assert answer.status == 422
    assert answer.json["name"] == "AssertionFailureError"
    assert answer.json["message"].endswith("with target selector .nowhere")
    assert answer.void


async def test_remove_selector_takes_elements_out(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/article"
    headers = {"X-Remove-Selector": "nav, footer, table", "X-Respond-With": "markdown"}
    answer = await reader.get(path, headers)
    assert "Imprint" not in answer.text
    assert "| Lock" not in answer.text
    assert "A lock is a chamber" in answer.text


@pytest.mark.parametrize("selector", ["*", ":root", "p[", "a >> b", "x" * 3000])
@pytest.mark.parametrize("name", ["X-Target-Selector", "X-Remove-Selector"])
async def test_bad_selector_is_400_and_free(
    reader: Asker, site: Site, name: str, selector: str
) -> None:
    answer = await reader.get(f"/{site.origin}/page/article", {name: selector})
    assert answer.status == 400
    assert answer.json["status"] == 40001
    assert answer.void


async def test_links_summary_has_each_address_once(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/links"
    data = (await reader.get(path, {"X-With-Links-Summary": "true", **JSON})).json["data"]
    assert data["links"] == {
        "More": f"{site.origin}/base/one",
        "More (2)": f"{site.origin}/base/two",
        "Mail": "mailto:a@b.c",
        "Other": "http://other.example/x",
    }
    every = (await reader.get(path, {"X-With-Links-Summary": "all", **JSON})).json["data"]
    assert every["links"][2] == ["More again", f"{site.origin}/base/one"]
    text = (await reader.get(path, {"X-With-Links-Summary": "true"})).text
    assert f"\n\nLinks/Buttons:\n- [More]({site.origin}/base/one)\n" in text


async def test_images_summary_names_shown_and_hidden(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/article"
    data = (await reader.get(path, {"X-With-Images-Summary": "true", **JSON})).json["data"]
    assert data["images"]["Image 1: The upper gate"] == f"{site.origin}/img/gate.png"
    assert f"{site.origin}/img/logo.png" in data["images"].values()
    lazy = await reader.get(f"/{site.origin}/page/links", {"X-With-Images-Summary": "true"})
    assert f"Images:\n- ![Image 1: Lazy]({site.origin}/base/lazy.png)" in lazy.text


async def test_empty_summaries_say_so(reader: Asker, site: Site) -> None:
    wanted = {"X-With-Images-Summary": "true", "X-With-Links-Summary": "true"}
    answer = await reader.get(f"/{site.origin}/words/100", wanted)
    assert "This page does not seem to contain any images." in answer.text
    assert "This page does not seem to contain any buttons/links." in answer.text


@pytest.mark.parametrize(
    ("option", "value", "there", "gone"),
    [
        ("X-Retain-Images", "none", "fourteenth", "gate.png"),
        ("X-Retain-Images", "alt", "(Image 1: The upper gate)", "gate.png"),
        ("X-Retain-Links", "text", "fourteenth century", "](http"),
        ("X-Retain-Links", "none", "A lock is a chamber", "fourteenth"),
    ],
)
async def test_images_and_links_are_dropped_on_demand(
    reader: Asker, site: Site, option: str, value: str, there: str, gone: str
) -> None:
    path = f"/{site.origin}/page/article"
    headers = {option: value, "X-Respond-With": "markdown"}
    if option == "X-Retain-Links":
        headers["X-Retain-Images"] = "none"
    text = (await reader.get(path, headers)).text.partition("Markdown Content:")[2]
    assert there in text
    assert gone not in text


async def test_data_urls_are_kept_only_on_demand(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/links"
    assert "data:image" not in (await reader.get(path)).text
    kept = await reader.get(path, {"X-Keep-Img-Data-Url": "true"})
    assert "![Image 2: Pixel](data:image/gif" in kept.text


async def test_token_budget_refuses_and_charges_nothing(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/words/2000"
    whole = await reader.get(path)
    answer = await reader.get(path, {"X-Token-Budget": "300"})
    assert answer.status == 409
    assert answer.json["status"] == 40904
    assert answer.json["name"] == "BudgetExceededError"
    expected = f"Token budget (300) exceeded, intended charge amount {whole.tokens}"
    assert answer.json["message"] == expected
    assert answer.void
    enough = await reader.get(path, {"X-Token-Budget": str(whole.tokens)})
    assert enough.status == 200


async def test_max_tokens_trims_content_and_charge(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/words/2000", {"X-Max-Tokens": "500"})
    assert answer.status == 200
    assert answer.tokens == 500
    assert (await reader.get(f"/{site.origin}/words/2000", {"X-Max-Tokens": "9"})).status == 400


async def test_plain_text_and_json_targets_come_as_they_are(reader: Asker, site: Site) -> None:
    text = await reader.get(f"/{site.origin}/plain.txt")
    assert text.text.endswith("Markdown Content:\n# Not a heading\njust *text*\n")
    data = await reader.get(f"/{site.origin}/data.json")
    assert '"answer": 42' in data.text


async def test_target_404_is_a_page_with_a_warning_and_costs_nothing(
    reader: Asker, site: Site
) -> None:
    answer = await reader.get(f"/{site.origin}/missing")
    assert answer.status == 200
    assert "\n\nWarning: Target URL returned error 404: Not Found\n\n" in answer.text
    assert "There is nothing at this address" in answer.text
    assert answer.void
    data = (await reader.get(f"/{site.origin}/missing", JSON)).json["data"]
    assert data["usage"]["tokens"] == 0
    assert data["warning"] == "Target URL returned error 404: Not Found"
    assert data["httpStatus"] == 404


@pytest.mark.parametrize("path", ["missing-empty", "empty", "blank"])
async def test_page_without_content_is_422_and_free(reader: Asker, site: Site, path: str) -> None:
    answer = await reader.get(f"/{site.origin}/{path}")
    assert answer.status == 422
    assert answer.json["status"] == 42206
    assert answer.json["message"] == f"No content available for URL {site.origin}/{path}"
    assert answer.void


async def test_index_page_is_free_in_both_forms(reader: Asker) -> None:
    text = await reader.get("/")
    assert text.status == 200
    assert text.text.startswith("[Usage 1] https://r.localhost/YOUR_URL\n[Usage 2] ")
    assert text.void
    fields = await reader.get("/", JSON)
    assert fields.json["data"]["usage1"] == "https://r.localhost/YOUR_URL"
    assert fields.void
