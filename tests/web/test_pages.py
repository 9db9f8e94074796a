"""Every page: what it says, with which headers, in which language, and never a key."""

import gzip
import logging
import re
from pathlib import Path

import pytest

from gateway.control.web.texts import Texts
from gateway.embedded.redis_server import RedisServer
from gateway.errors import ConfigurationFault
from gateway.metering.outcomes import WHO_PAYS
from gateway.products.product import Counting
from tests.control.rig import Door
from tests.control.test_secrecy import _dump_of, _redis_of
from tests.web.browser import HTML, Browser
from tests.web.conftest import Open, signed_in
from tests.web.mail import Mailbox

PAGES = ("/", "/playground", "/chat", "/limits", "/status", "/faq", "/sign-in", "/account")
_REFERENCES = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_INLINE = re.compile(r"<style|\son[a-z]+=|style=|javascript:|<script(?![^>]*(?: src=|json))")


async def test_every_page_in_every_state_is_html_without_scripts_of_its_own(
    posting: Door, mailbox: Mailbox
) -> None:
    key = (await posting.mint())["api_key"]
    await posting.spend(key)
    by_key = Browser(posting.port)
    await by_key.enter(key)
    ann = await signed_in(posting, mailbox)
    without_key = await signed_in(posting, mailbox, "bob@example.org")
    await ann.call("POST", "/web/account/keys", {"api_key": key, "name": "n"})
    for browser in (Browser(posting.port), by_key, ann, without_key):
        for path in PAGES:
            told = await browser.open(path)
            assert (told.status, told["content-type"]) == (200, "text/html; charset=utf-8"), told
            assert "<h1" in told.text
            assert key not in told.text
            assert _INLINE.search(told.text) is None, _INLINE.search(told.text)
            assert len(told.body) < 150_000
            assert (browser.token is None) == (browser.jar == {})


@pytest.mark.parametrize("host", ["", "dash.localhost"])
async def test_every_page_has_the_headers_that_keep_others_out(door: Door, host: str) -> None:
    browser = Browser(door.port, host=host)
    for path in PAGES:
        told = await browser.open(path)
        policy = dict(
            part.strip().split(" ", 1) for part in told["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["form-action"] == "'self' https://checkout.stripe.com"
        products = {"http://api.localhost", "http://r.localhost", "http://deepsearch.localhost"}
        connects = set(policy["connect-src"].split())
        assert connects >= ({"'self'", *products} if host else {"'self'"})
        assert bool(host) == (connects != {"'self'"})
        assert told["x-content-type-options"] == "nosniff"
        assert told["referrer-policy"] == "same-origin"
        assert told["cross-origin-opener-policy"] == "same-origin"
        assert not told.has("access-control-allow-origin")
        # Only behind TLS may a browser be told to insist on it.
        assert not told.has("strict-transport-security")
        told = await browser.open(path, **{"X-Forwarded-Proto": "https"})
        assert told.has("strict-transport-security")


async def test_odd_hosts_get_no_say_in_the_policy(door: Door) -> None:
    for host in ("dash.a;script-src *", "dash.'unsafe-inline'", "dash.é", "dash.a b", "dash."):
        told = await door.ask("GET", "/limits", host=host, headers={"Accept": HTML})
        if told.status == 200:
            assert "connect-src 'self';" in told["content-security-policy"]


async def test_curl_keeps_its_plain_text_and_a_head_is_a_head(door: Door) -> None:
    plain = await door.ask("GET", "/", headers={"Accept": "*/*"})
    assert plain["content-type"].startswith("text/plain")
    assert plain["vary"] == "Accept"
    assert "curl" in plain.text
    page = await door.ask("GET", "/faq", headers={"Accept": "*/*"})
    assert page["content-type"].startswith("text/html")
    for path in PAGES:
        told = await door.ask("HEAD", path, headers={"Accept": HTML})
        got = await door.ask("GET", path, headers={"Accept": HTML})
        assert (told.status, told.body) == (200, b"")
        assert told["content-length"] == got["content-length"]
        assert (await door.ask("POST", path)).status == 405


async def test_page_of_nobody_is_packed_and_known_again_and_one_of_somebody_never(
    door: Door, browser: Browser
) -> None:
    packed = await browser.open("/faq", **{"Accept-Encoding": "br, gzip"})
    assert packed["content-encoding"] == "gzip"
    told = await browser.open("/faq")
    assert gzip.decompress(packed.body) == told.body
    assert told["cache-control"] == "no-cache"
    again = await browser.open("/faq", **{"If-None-Match": told["etag"]})
    assert (again.status, again.body) == (304, b"")
    await browser.enter((await door.mint())["api_key"])
    told = await browser.open("/faq", **{"Accept-Encoding": "gzip"})
    assert told["cache-control"] == "no-store"
    assert not told.has("content-encoding")
    assert not told.has("etag")


async def test_using_a_page_keeps_the_cookie_alive(door: Door, browser: Browser) -> None:
    await browser.enter((await door.mint())["api_key"])
    for told in (await browser.open("/limits"), await browser.call("GET", "/web/overview")):
        assert "Max-Age=43200" in told["set-cookie"]


async def test_static_files_are_kept_for_ever_and_change_their_name(door: Door) -> None:
    page = await door.ask("GET", "/", headers={"Accept": HTML})
    addresses = _REFERENCES.findall(page.text)
    assert len(addresses) >= 3
    for address in addresses:
        told = await door.ask("GET", address)
        assert told.status == 200
        assert told["cache-control"] == "public, max-age=31536000, immutable"
        assert told["x-content-type-options"] == "nosniff"
        again = await door.ask("GET", address, headers={"If-None-Match": told["etag"]})
        assert (again.status, again.body) == (304, b"")
        packed = await door.ask("GET", address, headers={"Accept-Encoding": "gzip"})
        if packed.has("content-encoding"):
            assert gzip.decompress(packed.body) == told.body
        head = await door.ask("HEAD", address)
        assert (head.body, head["content-length"]) == (b"", str(len(told.body)))
    for odd in ("site.css", "..%2fhouse.py", "%2e%2e", "site.000000000000.css", "a" * 200):
        told = await door.ask("GET", f"/static/{odd}")
        assert (told.status, told.json()["code"]) == (404, "RESOURCE_NOT_FOUND")


async def test_page_while_postgres_is_away_says_so_and_public_ones_go_on(
    open_door: Open, browser: Browser
) -> None:
    # Signed in at a gateway that works, then asking one whose database is not there.
    await browser.enter((await browser.call("POST", "/web/mint", {})).json()["api_key"])
    async with open_door(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing") as away:
        other = Browser(away.port, jar=dict(browser.jar))
        told = await other.open("/")
        assert told.status == 503
        assert Texts().of("en")["away"] in told.text
        told = await other.call("GET", "/web/overview")
        assert (told.status, told.json()["code"]) == (503, "SERVICE_DEGRADED")
        for path in ("/limits", "/faq", "/playground", "/"):
            assert (await Browser(away.port).open(path)).status == 200


async def test_planted_key_is_in_no_page_no_log_and_not_at_rest(
    posting: Door,
    mailbox: Mailbox,
    tmp_path: Path,
    database: str,
    redis_server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    minted, ann = await posting.mint(), await signed_in(posting, mailbox)
    key, seen = minted["api_key"], []
    by_key = Browser(posting.port)
    await by_key.enter(key)
    for method, path, document in (
        ("POST", "/web/account/keys", {"api_key": key, "name": "n"}),
        ("POST", "/web/transfer", {"to_api_key": key}),
        ("POST", "/web/transfer?preview=1", {"to_api_key": key, "tokens": 5}),
        ("POST", "/web/revoke", {"confirm": key}),
        ("POST", "/web/revoke", {"confirm": "x", "transfer_to_api_key": key}),
        ("POST", "/web/sign-in", {"email": key}),
        ("POST", "/web/sign-in/finish", {"ticket": key}),
        ("PUT", "/web/session", {"key_id": key}),
        ("GET", "/web/overview", None),
    ):
        for browser in (ann, by_key):
            seen.append((await browser.call(method, path, document)).body)
    for path in PAGES:
        seen += [(await browser.open(path)).body for browser in (ann, by_key)]
    cookies = {*ann.jar.values(), *by_key.jar.values()}
    places = {
        "answers": b"".join(seen),
        "database": await _dump_of(database),
        "redis": await _redis_of(redis_server),
        "files": b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()),
        "log": caplog.text.encode(),
    }
    for place, content in places.items():
        assert place == "log" or len(content) > 10, place
        for secret in (key, key.removeprefix("sluice_")[:40], *cookies):
            assert secret.encode() not in content, f"{secret} is in {place}"


def test_every_code_word_that_a_page_shows_has_a_text() -> None:
    texts = Texts()
    for language, _ in texts.languages:
        words = texts.of(language)
        assert {outcome.value for outcome in WHO_PAYS} == set(words["outcomes"])
        assert {e.charge.name.lower() for e in WHO_PAYS.values()} <= set(words["charges"])
        assert {each.value for each in Counting} == set(words["counting"])
        assert {"active", "suspended", "revoked"} == set(words["statuses"])
        assert {"budget", "dispute", "operator"} == set(words["suspended_by"])


async def test_language_is_the_one_that_was_chosen_and_kept(door: Door, browser: Browser) -> None:
    told = await browser.open("/faq?lang=en")
    assert browser.jar["lang"] == "en"
    assert told["content-language"] == "en"
    assert '<html lang="en">' in told.text
    await browser.open("/faq?lang=%3Cscript%3E")
    assert browser.jar["lang"] == "en"


def test_languages_are_chosen_by_wish_then_by_the_browser_then_english(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text('language = "English"\n[a]\nb = "one"\nc = "two"')
    (tmp_path / "zh.toml").write_text('language = "中文"\n[a]\nb = "一"')
    (tmp_path / "fr.toml").write_text('language = "Français"\n')
    texts = Texts(tmp_path)
    assert texts.languages == (("en", "English"), ("fr", "Français"), ("zh", "中文"))
    assert texts.of("zh")["a"] == {"b": "一", "c": "two"}
    for wished, accept, chosen in (
        ((None, "zh"), "fr", "zh"),
        (("fr", "zh"), "", "fr"),
        (("xx", None), "de, zh-TW;q=0.8, fr;q=0.9", "fr"),
        ((None,), "zh-Hans-CN", "zh"),
        ((None,), "zh;q=0, fr;q=0.1", "fr"),
        ((None,), "*", "en"),
        ((None,), "fr;q=nonsense,zh;q=0.001", "zh"),
        ((None,), ";;,=,é" + "," * 5000, "en"),
    ):
        assert texts.choose(wished, accept) == chosen, (wished, accept)


@pytest.mark.parametrize("text", ['keys = "no"', "[a]\n[a.items]\nb = 1", "broken"])
def test_texts_that_no_template_could_reach_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "en.toml").write_text(text)
    with pytest.raises(ConfigurationFault):
        Texts(tmp_path)


async def test_every_page_is_there_in_every_language(posting: Door, mailbox: Mailbox) -> None:
    ann = await signed_in(posting, mailbox)
    await ann.call("POST", "/web/account/keys", {"name": "n"})
    for code, name in Texts().languages:
        for browser in (Browser(posting.port), ann):
            for path in PAGES:
                told = await browser.open(f"{path}?lang={code}")
                assert (told.status, told["content-language"]) == (200, code)
                assert f'<html lang="{code}"' in told.text
                assert name in told.text
    account = "select language from web_account"
    assert (await posting.node.ground.postgres.value(account)) == code
