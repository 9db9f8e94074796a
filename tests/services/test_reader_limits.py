"""What a target cannot do to the reader: cost it memory, time, other pages, or the client money."""

import asyncio
import time
from urllib.parse import quote

import pytest

from tests.services.asking import Asker
from tests.services.processes import children_of, free_port, service
from tests.services.site import Site

CHARSET_TEXT = {
    "utf-8": "日本語 text é",
    "shift_jis": "日本語のページ",
    "euc-jp": "日本語のページ",
    "gb2312": "中文网页内容",
    "big5": "中文網頁內容",
    "euc-kr": "한국어 페이지",
    "windows-1251": "Русский текст",
    "koi8-r": "Русский текст",
    "iso-8859-1": "café naïve",
    "windows-1252": "“café” – naïve",
    "iso-8859-2": "zażółć gęślą",
}


@pytest.mark.parametrize("real", CHARSET_TEXT)
@pytest.mark.parametrize("where", ["header", "meta"])
async def test_declared_charset_is_read(reader: Asker, site: Site, real: str, where: str) -> None:
    text = CHARSET_TEXT[real]
    query = f"real={real}&{where}={real}&text={quote(text)}"
    answer = await reader.get(f"/{site.origin}/charset?{query}")
    assert f"Title: {text}" in answer.text


@pytest.mark.parametrize(
    ("real", "header", "meta"),
    [
        ("utf-8", "", ""),
        ("utf-8", "iso-8859-1", "utf-8"),
        ("gb18030", "utf-8", ""),
        ("shift_jis", "utf-8", "shift_jis"),
        ("shift_jis", "", ""),
        ("utf-8-sig", "windows-1252", ""),
        ("utf-16", "", ""),
        ("utf-8", "no-such-charset", ""),
        ("utf-8", "utf-7", ""),
        ("utf-8", "rot13", "hex"),
        ("utf-8", "unicode_escape", ""),
    ],
)
async def test_wrong_or_missing_charset_is_seen_through(
    reader: Asker, site: Site, real: str, header: str, meta: str
) -> None:
    texts = {"gb18030": "中文网页内容测试", "shift_jis": "これは日本語のページです"}
    text = texts.get(real, "naïve 日本")
    query = f"real={real}&header={header}&meta={meta}&text={quote(text)}"
    answer = await reader.get(f"/{site.origin}/charset?{query}")
    assert f"Title: {text}" in answer.text


@pytest.mark.parametrize("form", ["gzip", "deflate", "deflate-raw", "identity"])
async def test_content_encodings_are_undone(reader: Asker, site: Site, form: str) -> None:
    answer = await reader.get(f"/{site.origin}/encoded/{form}")
    assert answer.status == 200
    assert "packed text packed text" in answer.text


@pytest.mark.parametrize("form", ["gzip-cut", "gzip-lie", "br"])
async def test_broken_encodings_are_422_and_free(reader: Asker, site: Site, form: str) -> None:
    answer = await reader.get(f"/{site.origin}/encoded/{form}")
    assert answer.status == 422
    assert answer.json["status"] == 42205
    assert answer.void


@pytest.mark.parametrize("path", ["bomb", "endless"])
async def test_page_beyond_the_cap_is_413_and_free(reader: Asker, site: Site, path: str) -> None:
    begun = time.monotonic()
    answer = await reader.get(f"/{site.origin}/{path}")
    assert answer.status == 413
    assert answer.json["status"] == 41302
    assert answer.void
    assert time.monotonic() - begun < 25


@pytest.mark.parametrize("path", ["drip", "silent"])
async def test_slow_target_ends_at_the_deadline(reader: Asker, site: Site, path: str) -> None:
    begun = time.monotonic()
    answer = await reader.get(f"/{site.origin}/{path}", {"X-Timeout": "1"})
    assert 0.9 < time.monotonic() - begun < 20
    assert answer.status == 422
    assert "no complete answer within 1000 ms" in answer.json["message"]
    assert answer.void


async def test_answer_shorter_than_it_said_is_422_and_free(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/short")
    assert answer.status == 422
    assert answer.void


async def test_target_that_refuses_connections_is_422_and_free() -> None:
    port = free_port()
    listen = f"127.0.0.1:{free_port(port)}"
    with service("reader", listen, {"SLUICE_READER_ALLOW": f"http://127.0.0.1:{port}"}):
        answer = await Asker(f"http://{listen}").get(f"/http://127.0.0.1:{port}/")
    assert answer.status == 422
    assert answer.json["status"] == 42205
    assert answer.void


async def test_name_that_does_not_exist_is_400_and_free(reader: Asker) -> None:
    answer = await reader.get("/https://no-such-name.invalid/")
    assert answer.status == 400
    assert answer.json["message"] == "Domain 'no-such-name.invalid' could not be resolved"
    assert answer.void


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "video/mp4", "font/woff2"])
async def test_media_that_is_not_text_is_400_and_free(reader: Asker, site: Site, kind: str) -> None:
    answer = await reader.get(f"/{site.origin}/media?type={kind}")
    assert answer.status == 400
    assert kind in answer.json["message"]
    assert answer.void


async def test_redirects_are_followed_ten_times(reader: Asker, site: Site) -> None:
    enough = await reader.get(f"/{site.origin}/loop/10")
    assert enough.status == 200
    assert f"URL Source: {site.origin}/loop/10" in enough.text
    too_many = await reader.get(f"/{site.origin}/loop/11")
    assert too_many.status == 422
    assert too_many.void


async def test_links_are_resolved_against_the_first_address_unless_told(
    reader: Asker, site: Site
) -> None:
    path = f"/{site.origin}/redirect?to=/page/article"
    assert f"({site.origin}/history/first.html)" in (await reader.get(path)).text
    final = await reader.get(path, {"X-Base": "final"})
    assert f"({site.origin}/page/history/first.html)" in final.text


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
async def test_deeply_nested_page_fails_alone_if_at_all(
    reader: Asker, site: Site, depth: int
) -> None:
    answer, other = await asyncio.gather(
        reader.get(f"/{site.origin}/nested/{depth}"),
        reader.get(f"/{site.origin}/page/article"),
    )
    assert answer.status in (200, 422)
    assert answer.status == 200 or answer.void
    assert other.status == 200
    assert (await reader.get(f"/{site.origin}/page/article")).status == 200


@pytest.mark.parametrize(
    "page",
    [
        "<p>" + "<b><i>" * 20_000 + "x",
        "<table>" + "<tr><td>" * 20_000 + "x",
        "<a href='" + "x" * 2_000_000 + "'>long</a> text",
        "<p " + "a=1 " * 200_000 + ">attributes</p>",
        "<p>" + "&amp;" * 500_000 + "</p>",
        "<!--" * 100_000 + "x",
        "<script>" + "x" * 1_000_000,
        "\0\0\0<p>nul</p>",
        "<pre>" * 50_000 + "x",
        "x" * 3_000_000,
        "<ul><li>" * 3_000 + "x",
        "<select><option>" * 20_000 + "x",
        "<math><mi><svg><title>" * 3000 + "x",
        '<script type="application/ld+json">' + "[" * 100_000 + "</script><p>x</p>",
    ],
    ids=range(14),
)
async def test_hostile_html_is_read_or_refused_within_its_caps(reader: Asker, page: str) -> None:
    begun = time.monotonic()
    answer = await reader.post("/", {"html": page})
    assert answer.status in (200, 422), answer.text[:200]
    assert answer.status == 200 or answer.void
    assert time.monotonic() - begun < 60


async def test_page_that_takes_too_long_is_killed_and_its_worker_replaced(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_READER_ALLOW": site.origin,
        "SLUICE_READER_WORKERS": "1",
        "SLUICE_READER_EXTRACT_MS": "1000",
    }
    with service("reader", listen, settings) as process:
        reader = Asker(f"http://{listen}")
        assert (await reader.get(f"/{site.origin}/page/links")).status == 200
        before = children_of(process.pid)
        answer = await reader.post("/", {"html": "<ul><li>item <b>x</b>" * 200_000})
        assert answer.status == 422
        assert "took too long" in answer.json["message"]
        assert answer.void
        assert (await reader.get(f"/{site.origin}/page/article")).status == 200
        after = children_of(process.pid)
        assert len(before) == len(after) == 1
        assert before != after


async def test_worker_beyond_its_memory_fails_its_page_alone(site: Site) -> None:
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_READER_ALLOW": site.origin,
        "SLUICE_READER_WORKERS": "1",
        "SLUICE_READER_WORKER_BYTES": str(512 * 1024 * 1024),
    }
    with service("reader", listen, settings):
        reader = Asker(f"http://{listen}")
        huge = "<p>" + "<a href=x>word</a> " * 1_500_000
        answer = await reader.post("/", {"html": huge})
        assert answer.status == 422, answer.text[:200]
        assert answer.void
        assert (await reader.get(f"/{site.origin}/page/article")).status == 200


async def test_many_slow_targets_do_not_hold_up_a_fast_one(reader: Asker, site: Site) -> None:
    slow = [
        asyncio.create_task(reader.get(f"/{site.origin}/silent", {"X-Timeout": "6"}))
        for _ in range(200)
    ]
    await asyncio.sleep(1)
    for _ in range(5):
        assert (await reader.get(f"/{site.origin}/page/links")).status == 200
    # Whom they held up, they would hold up to their end.
    assert not any(task.done() for task in slow)
    answers = await asyncio.gather(*slow)
    assert all(answer.void for answer in answers)
