"""How Markdown is written: every style of the option table, by header and by body field."""

import re
from typing import Any

import pytest

from tests.services.asking import Asker

PAGE = """<!DOCTYPE html><html lang="en"><head><title>Locks</title></head><body>
<nav><a href="/home">Home page</a></nav><h1>Locks</h1>
<p>Water is <em>slow</em> and <strong>strong</strong>, un<i>believ</i>able <b><i>both</i></b>.</p>
<p>A <a href="/gate">gate</a> and <a href="http://other.example/x">a <b>weir</b></a>.</p>
<h2>Parts</h2><ul><li>gate<ul><li>paddle</li></ul></li><li>sill</li></ul><hr>
<p>Text with <del>errors</del> and H<sub>2</sub>O, 5 * 3 _ 2.</p>
<h3>Numbers</h3><table><tr><th>Lock</th><th>Rise</th></tr>
<tr><td><a href="/low">low</a></td><td>2 m</td></tr></table>
<pre><code class="language-python"># not a heading
rise = 2
</code></pre>
<img src="/gate.png" alt="The gate"><img src="/bare.png">
<img src="data:image/png;base64,iVBORw0KGgo=" alt="Dot"></body></html>"""
URL = "http://canal.example/a/"
JSON = {"Accept": "application/json"}


async def data(
    reader: Asker, headers: dict[str, str] | None = None, **fields: object
) -> dict[str, Any]:
    asked = {"html": PAGE, "url": URL, "respondWith": "markdown", **fields}
    answer = await reader.post("/", asked, {**JSON, **(headers or {})})
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json["data"]
    return found


@pytest.mark.parametrize(
    ("style", "header", "written"),
    [
        ({"headingStyle": "atx"}, "X-Md-Heading-Style", "# Locks\n"),
        ({"headingStyle": "setext"}, "X-Md-Heading-Style", "Locks\n====="),
        ({"headingStyle": "setext"}, "X-Md-Heading-Style", "### Numbers\n"),
        ({"hr": "---"}, "X-Md-Hr", "\n\n---\n\nText with"),
        ({"hr": "~~~*~~~"}, "X-Md-Hr", "\n\n~~~*~~~\n\nText with"),
        ({"bulletListMarker": "*"}, "X-Md-Bullet-List-Marker", "* gate\n  * paddle\n* sill"),
        ({"bulletListMarker": "+"}, "X-Md-Bullet-List-Marker", "+ gate\n  + paddle\n+ sill"),
        ({"emDelimiter": "*"}, "X-Md-Em-Delimiter", "is *slow* and **strong**"),
        ({"emDelimiter": "_"}, "X-Md-Em-Delimiter", "is _slow_ and **strong**"),
        ({"strongDelimiter": "__"}, "X-Md-Strong-Delimiter", "is _slow_ and __strong__"),
        ({"linkStyle": "inlined"}, "X-Md-Link-Style", "[gate](http://canal.example/gate)"),
        ({"linkStyle": "discarded"}, "X-Md-Link-Style", "A gate and a **weir**."),
    ],
)
async def test_style_is_written_by_body_field_and_by_header(
    reader: Asker, style: dict[str, str], header: str, written: str
) -> None:
    by_field = await data(reader, markdown=style)
    assert written in by_field["content"]
    by_header = await data(reader, {header: next(iter(style.values()))})
    assert by_header["content"] == by_field["content"]


async def test_default_style_is_that_of_the_published_reader(reader: Asker) -> None:
    content = (await data(reader))["content"]
    for piece in ("# Locks\n", "_slow_", "**strong**", "- gate\n", "\n\n* * *\n\n", "~~errors~~"):
        assert piece in content, piece


async def test_emphasis_inside_a_word_is_a_star_and_both_kinds_nest(reader: Asker) -> None:
    content = (await data(reader))["content"]
    assert "un*believ*able" in content
    assert re.search(r"\*\*_both_\*\*|_\*\*both\*\*_", content)
    assert "5 * 3 _ 2." in content


@pytest.mark.parametrize(
    ("reference", "written", "defined"),
    [
        ("full", "A [gate][2] and [a **weir**][3].", "[2]: http://canal.example/gate"),
        ("collapsed", "A [gate][] and [a **weir**][].", "[gate]: http://canal.example/gate"),
        ("shortcut", "A [gate] and [a **weir**].", "[gate]: http://canal.example/gate"),
    ],
)
async def test_references_are_defined_at_the_end(
    reader: Asker, reference: str, written: str, defined: str
) -> None:
    style = {"linkStyle": "referenced", "linkReferenceStyle": reference}
    content = (await data(reader, markdown=style))["content"]
    assert written in content
    assert defined in content.partition("Dot")[2].splitlines()
    without = {**style, "linkReferenceStyle": "discarded"}
    assert "]: http" not in (await data(reader, markdown=without))["content"]


async def test_tables_are_pipes_or_html_or_paragraphs(reader: Asker) -> None:
    pipes = (await data(reader))["content"]
    assert "| Lock | Rise |\n| --- | --- |\n| [low](http://canal.example/low) | 2 m |" in pipes
    html = (await data(reader, noGfm="table"))["content"]
    assert "<th>Lock</th>" in html
    assert "| Lock" not in html
    assert "~~errors~~" in html
    assert '<a href="http://canal.example/low">low</a>' in html
    plain = (await data(reader, noGfm=True))["content"]
    assert "|" not in plain
    assert "Lock\n\nRise\n\n" in plain
    assert "Text with errors and" in plain


@pytest.mark.parametrize(
    ("mode", "there", "gone"),
    [
        ("all", ["![Image 1: The gate](http://canal.example/gate.png)", "![Image 2]("], []),
        ("all_p", ["![Image 1: The gate](", "![Image 2]("], []),
        ("none", ["Locks"], ["Image", "gate.png"]),
        ("alt", ["(Image 1: The gate)", "(Image 2: Dot)"], ["gate.png", "bare.png", "!["]),
        ("alt_p", ["(Image 1: The gate)"], ["gate.png", "!["]),
    ],
)
async def test_images_are_retained_as_asked(
    reader: Asker, mode: str, there: list[str], gone: list[str]
) -> None:
    content = (await data(reader, retainImages=mode))["content"]
    assert [piece for piece in there if piece not in content] == []
    assert [piece for piece in gone if piece in content] == []


async def test_data_of_images_has_a_name_unless_it_is_kept(reader: Asker) -> None:
    named = (await data(reader, withImagesSummary=True))["images"]
    assert re.fullmatch(r"blob:http://canal\.example/[0-9a-f]{32}", named["Image 3: Dot"])
    kept = await data(reader, keepImgDataUrl=True)
    assert "![Image 3: Dot](data:image/png;base64,iVBORw0KGgo=)" in kept["content"]


async def test_citations_have_their_numbers_in_the_summary(reader: Asker) -> None:
    found = await data(reader, retainLinks="gpt-oss")
    assert "A 【2†gate】 and 【3†a weir†other.example】." in found["content"]
    assert found["links"]["3"] == "http://other.example/x"
    assert "](http" not in found["content"].replace("](http://canal.example/gate.png", "").replace(
        "](http://canal.example/bare.png", ""
    )


@pytest.mark.parametrize(
    ("chunking", "count"),
    [("true", 3), ("h1", 1), ("h2", 2), ("h3", 3), ("structured", 3), ("s2", 2)],
)
async def test_chunks_begin_at_headings(reader: Asker, chunking: str, count: int) -> None:
    fields = {"targetSelector": "body", "removeSelector": "nav"}
    found = await data(reader, {"X-Markdown-Chunking": chunking}, **fields)
    chunks = found["chunks"]
    assert len(chunks) == count
    assert chunks[0].startswith("# Locks")
    assert "# not a heading\nrise = 2" in chunks[-1]
    if not chunking.startswith("s"):
        squeezed = re.sub(r"\n+", "\n", found["content"])
        assert re.sub(r"\n+", "\n", "\n".join(chunks)) == squeezed


async def test_structured_chunks_repeat_the_headings_above_them(reader: Asker) -> None:
    found = await data(reader, markdownChunking="structured", removeSelector="nav")
    assert found["chunks"][2].startswith("# Locks\n## Parts\n### Numbers\n\n| Lock")


async def test_chunks_are_joined_in_text_and_absent_unless_asked(reader: Asker) -> None:
    asked = {"html": PAGE, "respondWith": "markdown", "markdownChunking": "h2"}
    answer = await reader.post("/", asked)
    parts = answer.text.split("\n\n\x1d")
    assert len(parts) == 3
    assert parts[2].startswith("## Parts")
    assert "chunks" not in await data(reader)


async def test_underlined_headings_begin_chunks_too(reader: Asker) -> None:
    style = {"headingStyle": "setext"}
    found = await data(reader, markdown=style, markdownChunking="h2", removeSelector="nav")
    assert [chunk.splitlines()[0] for chunk in found["chunks"]] == ["Locks", "Parts"]


async def test_noncharacters_of_a_page_never_become_marks(reader: Asker) -> None:
    page = "<p>\ufdd1 a \ufdd0b\ufdd0 \ufdd20\ufdd3\ufdd5 \ufdd40\ufdd5 c</p>"
    answer = await reader.post("/", {"html": page, "respondWith": "markdown"})
    assert answer.text.partition("Markdown Content:\n")[2].split() == ["a", "b", "0", "0", "c"]


async def test_final_base_of_a_posted_page_leaves_links_relative(reader: Asker) -> None:
    assert "[gate](/gate)" in (await data(reader, base="final"))["content"]
    assert "[gate](http://canal.example/gate)" in (await data(reader, base="initial"))["content"]


async def test_what_only_concerns_a_fetch_is_taken_with_a_posted_page(reader: Asker) -> None:
    for fields in (
        {"proxyUrl": "socks5://proxy.example:1080"},
        {"proxy": "us"},
        {"robotsTxt": "MyBot"},
        {"setCookies": ["a=b; Domain=canal.example"]},
        {"customHeader": {"X-Mine": "1"}},
        {"engine": "browser"},
        {"viewport": {"width": 375, "height": 812, "isMobile": True}},
    ):
        assert "Locks" in (await data(reader, **fields))["content"]
