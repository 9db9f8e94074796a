"""How a target may be written, and how a request may be made."""

import base64

import pytest

from services.reader import inputs, target
from services.reader.refusals import Refusal
from services.reader.target import Target
from tests.services.asking import Asker, signed_headers
from tests.services.site import Site

OWN = frozenset({"r.example.org", "localhost:8080", "127.0.0.1:8080"})


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/https://example.com/a?b=c&d=e", "https://example.com/a?b=c&d=e"),
        ("/https%3A%2F%2Fexample.com%2Fa%3Fb%3Dc", "https://example.com/a?b=c"),
        ("/https%3a%2f%2fexample.com%2fa?b=c", "https://example.com/a?b=c"),
        ("/https:/example.com/a", "https://example.com/a"),
        ("/https:///example.com/a", "https://example.com/a"),
        ("/example.com", "http://example.com/"),
        ("/example.com/a/b?c#d", "http://example.com/a/b?c"),
        ("/example.com:8443/a", "http://example.com:8443/a"),
        ("/example.com%2Fa", "http://example.com/a"),
        ("/HTTP://EXAMPLE.com", "http://example.com/"),
        ("/https://https://example.com/", "https://example.com/"),
        ("/https://r.example.org/https://example.com/a", "https://example.com/a"),
        ("/http://localhost:8080/r/https://example.com/", "https://example.com/"),
        ("/view-source:https://example.com/", "https://example.com/"),
        ("/https://example.com/a%20b?q=1%262", "https://example.com/a%20b?q=1%262"),
        ("/https://example.com/日本", "https://example.com/%E6%97%A5%E6%9C%AC"),
        ("/https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("/https://example.com:443/", "https://example.com/"),
        ("/https://example.com./", "https://example.com/"),
        ("/https://user:secret@example.com/", "https://example.com/"),
        ("/https:\\\\example.com\\a", "https://example.com/a"),
        ("/https://[2606:4700::1111]:444/x", "https://[2606:4700::1111]:444/x"),
        ("/https://example.com?x=http://y/", "https://example.com/?x=http://y/"),
    ],
)
def test_every_spelling_names_the_same_target(path: str, url: str) -> None:
    found = target.parse(target.from_path(path), OWN)
    assert isinstance(found, Target)
    assert found.url == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "No URL provided"),
        ("   ", "No URL provided"),
        ("ftp://example.com/", "Invalid protocol ftp:"),
        ("file:///etc/passwd", "Invalid protocol file:"),
        ("javascript:alert(1)", "Invalid protocol javascript:"),
        ("data:text/html,hi", "Invalid protocol data:"),
        ("mailto:a@b.c", "Invalid protocol mailto:"),
        ("https://", "Invalid URL"),
        ("https://exa mple.com/", "Invalid URL"),
        ("https://example.com:0/", "Invalid URL"),
        ("https://example.com:99999/", "Invalid URL"),
        ("https://example.com:x/", "Invalid URL"),
        ("https://[::1/", "Invalid URL"),
        ("https://a..b/", "Invalid URL"),
        ("https://1.2.3.4.5/", "Invalid URL"),
        ("https://256.1.1.1/", "Invalid URL"),
        ("https://0x100000000/", "Invalid URL"),
        ("https://" + "a" * 64 + ".com/", "Invalid URL"),
        ("https://example.com/" + "a" * 40_000, "longer than"),
    ],
)
def test_what_is_no_target_is_refused_with_a_sentence(text: str, words: str) -> None:
    found = target.parse(text, OWN)
    assert isinstance(found, Refusal)
    assert found.number == 40001
    assert words in found.message


async def test_target_comes_encoded_or_bare_with_its_query(reader: Asker, site: Site) -> None:
    bare = f"/{site.origin}/page/links?a=b%26c&d=%20"
    packed = "/" + f"{site.origin}/page/links?a=b".replace(":", "%3A").replace("/", "%2F").replace(
        "?", "%3F"
    )
    assert (await reader.get(bare)).status == 200
    assert site.requests[-1][0] == "/page/links?a=b%26c&d=%20"
    assert (await reader.get(packed)).status == 200
    assert site.requests[-1][0] == "/page/links?a=b"


@pytest.mark.parametrize("form", ["json", "form", "multipart"])
async def test_post_takes_url_and_options_in_the_body(reader: Asker, site: Site, form: str) -> None:
    url = f"{site.origin}/page/article"
    if form == "json":
        answer = await reader.post("/", {"url": url, "respondWith": "text", "unknown": [1]})
    elif form == "form":
        body = f"url={url.replace(':', '%3A')}&respondWith=text".encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await reader.post("/", body, kind)
    else:
        rows = [("url", url), ("respondWith", "text")]
        body = multipart(rows)
        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        answer = await reader.post("/", body, kind)
    assert answer.status == 200
    assert "A lock is a chamber" in answer.text
    assert "URL Source" not in answer.text


async def test_body_wins_over_header_and_header_counts_on_post(reader: Asker, site: Site) -> None:
    url = f"{site.origin}/page/article"
    by_header = await reader.post("/", {"url": url}, {"X-Respond-With": "html"})
    assert by_header.text.startswith("<!DOCTYPE html>")
    both = await reader.post("/", {"url": url, "respondWith": "text"}, {"X-Respond-With": "html"})
    assert "<" not in both.text[:20]


async def test_query_of_get_is_no_option(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/{site.origin}/page/article?respondWith=html")
    assert answer.text.startswith("Title: ")


async def test_url_in_the_query_of_the_bare_address_is_read(reader: Asker, site: Site) -> None:
    answer = await reader.get(f"/?url={site.origin}/page/links")
    assert answer.text.startswith("Title: Links\n")


async def test_posted_html_is_read_without_a_fetch(reader: Asker, site: Site) -> None:
    before = len(site.requests)
    page = "<title>Mine</title><p>Some words with <a href='x'>a link</a> in them.</p>"
    answer = await reader.post("/", {"html": page, "url": f"{site.origin}/dir/"})
    assert answer.text == (
        f"Title: Mine\n\nURL Source: {site.origin}/dir/\n\n"
        f"Markdown Content:\nSome words with [a link]({site.origin}/dir/x) in them.\n"
    )
    assert (await reader.post("/", {"html": page})).status == 200
    assert len(site.requests) == before


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'"x"', "application/json"),
        (b"\xff\xfe", "application/json"),
        (b'{"url": "\\ud800"}', "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"%ff=1", "application/x-www-form-urlencoded"),
        (b"a=1&" * 1000, "application/x-www-form-urlencoded"),
        (b"no parts", "multipart/form-data; boundary=edge"),
        (b"no boundary", "multipart/form-data"),
        (b"", "application/json"),
        (b"{}", "application/json"),
        (b'{"url": 5}', "application/json"),
        (b'{"url": ["a"]}', "application/json"),
        (b'{"html": 5}', "application/json"),
        (b'{"html": ""}', "application/json"),
    ],
)
async def test_bad_bodies_are_400_and_free(reader: Asker, body: bytes, kind: str) -> None:
    answer = await reader.post("/", body, {"Content-Type": kind})
    assert answer.status == 400, answer.text
    assert answer.json["status"] == 40001
    assert answer.void


async def test_client_wishes_for_headers_reach_the_target(reader: Asker, site: Site) -> None:
    wishes = {"X-User-Agent": "Mine/1", "X-Referer": "http://a.example/", "X-Locale": "de-DE"}
    assert (await reader.get(f"/{site.origin}/cookie", wishes)).status == 200
    sent = site.requests[-1][1]
    assert sent["User-Agent"] == "Mine/1"
    assert sent["Referer"] == "http://a.example/"
    assert sent["Accept-Language"] == "de-DE"
    assert not any(name.lower().startswith("x-") for name in sent)


async def test_user_name_and_password_go_to_the_target_and_nowhere_else(
    reader: Asker, site: Site
) -> None:
    url = site.origin.replace("://", "://us%3Aer:pass%20word@")
    answer = await reader.post("/", {"url": f"{url}/page/links"})
    assert answer.status == 200
    assert "pass" not in answer.text
    sent = base64.b64decode(site.requests[-1][1]["Authorization"].removeprefix("Basic "))
    assert sent == b"us%3Aer:pass word"
    onward = await reader.post("/", {"url": f"{url}/redirect?to=/page/article"})
    assert onward.status == 200
    assert "Authorization" not in site.requests[-1][1]


async def test_nothing_is_kept_between_requests(reader: Asker, site: Site) -> None:
    for _ in range(2):
        assert (await reader.get(f"/{site.origin}/cookie")).status == 200
        assert "Cookie" not in site.requests[-1][1]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405(reader: Asker, site: Site, method: str) -> None:
    path = f"/{site.origin}/page/links"
    answer = await reader.raw(method, path, signed_headers(method, path))
    assert answer.status == 405
    assert answer.void


def multipart(rows: list[tuple[str, str]]) -> bytes:
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in rows
    ]
    return ("".join(parts) + "--edge--\r\n").encode()


def test_form_fields_that_repeat_are_a_list() -> None:
    found = inputs.fields("application/x-www-form-urlencoded", b"a=1&a=2&b[]=3")
    assert found == {"a": ["1", "2"], "b": "3"}
