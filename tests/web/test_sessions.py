"""Sessions: who is signed in, by what, for how long, and what a foreign page can do: nothing."""

import itertools
from typing import Any

from gateway.edge.doors import Kind
from gateway.edge.doors_of_web import WEB
from tests.control.rig import Door
from tests.web.browser import HTML, Browser

Line = Any
WRITES = [(d.method, d.path.replace("{}", "key_00000000001")) for d in WEB]
WRITES = [write for write in WRITES if write[0] not in ("GET", "HEAD")]
OF_SESSIONS = [
    # Those that make a session have none yet whose token they could send.
    write
    for write in WRITES
    if write not in (("POST", "/web/mint"), ("POST", "/web/session")) and "sign-in" not in write[1]
]


async def test_key_is_typed_once_and_the_cookie_is_not_the_key(
    door: Door, browser: Browser, owner: Line
) -> None:
    minted = await door.mint()
    told = await browser.call("POST", "/web/session", {"api_key": f" {minted['api_key']} "})
    assert told.status == 200
    assert told.json()["key"]["key_id"] == minted["key_id"]
    assert told.json()["key"]["last_characters"] == minted["api_key"][-4:]
    token, *attributes = told["set-cookie"].split("; ")
    assert attributes == ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Lax"]
    secret = token.partition("=")[2]
    assert len(secret) == 64
    assert minted["api_key"] not in str(told.headers) + told.text
    rows = await owner.fetch("select s::text from web_session s")
    assert len(rows) == 1
    assert secret not in rows[0][0]


async def test_cookie_is_for_tls_alone_where_the_page_came_by_tls(door: Door) -> None:
    key = (await door.mint())["api_key"]
    browser = Browser(door.port, host="dash.localhost", scheme="https")
    told = await browser.call("POST", "/web/session", {"api_key": key})
    assert told["set-cookie"].startswith("__Host-sluice_session=")
    assert told["set-cookie"].endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure")
    assert told.has("strict-transport-security")
    # A GET has no Origin: the cookie itself says that it came by TLS.
    page = await browser.open("/limits")
    assert page["set-cookie"] == told["set-cookie"]
    # What a sibling host has planted is not looked at beside it.
    browser.jar = {"sluice_session": "a" * 64, **browser.jar}
    assert (await browser.call("GET", "/web/overview")).status == 200
    await browser.open("/")
    assert (await browser.call("DELETE", "/web/session")).status == 200
    assert list(browser.jar) == ["sluice_session"]


async def test_no_foreign_page_can_write_anything(door: Door, browser: Browser) -> None:
    await browser.enter((await door.mint())["api_key"])
    foreign: tuple[dict[str, str], ...] = (
        {"Origin": "https://evil.example"},
        {"Origin": f"http://r.{browser.name}"},
        {"Origin": "null"},
        {"Origin": "http://[", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site"},
        {},
    )
    for (method, path), headers in itertools.product(WRITES, foreign):
        sent = {"X-Csrf-Token": str(browser.token), **headers}
        told = await browser.bare(method, path, {}, **sent)
        assert (told.status, told.json()["code"]) == (403, "SESSION_ORIGIN_REFUSED"), headers
        assert not told.has("access-control-allow-origin")


async def test_a_write_of_a_session_needs_its_own_token(door: Door, browser: Browser) -> None:
    await browser.enter((await door.mint())["api_key"])
    for (method, path), token in itertools.product(OF_SESSIONS, (None, "", "0" * 64, "é")):
        browser.token = token
        told = await browser.call(method, path, {})
        assert (told.status, told.json()["code"]) == (403, "SESSION_ORIGIN_REFUSED")


async def test_no_answer_can_be_read_by_another_origin(door: Door) -> None:
    headers = {"Origin": "https://evil.example", "Accept": HTML}
    for each in WEB:
        assert each.kind is Kind.WEB
        told = await door.ask(each.method, each.path.replace("{}", "x"), headers=headers)
        assert not any(name.startswith("access-control") for name, _ in told.headers), told


async def test_every_call_that_needs_somebody_refuses_nobody(door: Door) -> None:
    browser = Browser(door.port)
    for path in ("/web/overview", "/web/usage", "/web/export", "/web/account", "/web/requests/x"):
        told = await browser.call("GET", path)
        assert (told.status, told.json()["code"]) == (401, "SESSION_NEEDED")


async def test_who_signs_in_again_has_another_session_and_the_first_one_is_over(
    door: Door, browser: Browser
) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    first = dict(browser.jar)
    await browser.enter(key)
    assert browser.jar != first
    old = Browser(door.port, jar=first)
    assert (await old.call("GET", "/web/session")).json()["signed_in"] is False


async def test_a_cookie_of_somebody_else_is_not_taken_over(door: Door, browser: Browser) -> None:
    browser.jar["sluice_session"] = "a" * 64
    told = await browser.call("POST", "/web/session", {"api_key": (await door.mint())["api_key"]})
    assert told.status == 200
    assert browser.jar["sluice_session"] != "a" * 64


async def test_signed_out_is_signed_out_wherever_the_cookie_was_copied_to(
    door: Door, browser: Browser
) -> None:
    await browser.enter((await door.mint())["api_key"])
    copied = Browser(door.port, jar=dict(browser.jar))
    told = await browser.call("DELETE", "/web/session")
    assert told.status == 200
    assert browser.jar == {}
    assert (await copied.call("GET", "/web/overview")).status == 401


async def test_session_ends_after_12_idle_hours_and_after_7_days(
    door: Door, browser: Browser, owner: Line
) -> None:
    key = (await door.mint())["api_key"]
    for column, hours, status in (
        ("seen_at", 11, 200),
        ("seen_at", 12.1, 401),
        ("created_at", 7 * 24 - 1, 200),
        ("created_at", 7 * 24 + 1, 401),
    ):
        browser.jar.clear()
        await owner.execute("delete from web_session")
        await browser.enter(key)
        change = f"update web_session set {column} = now() - $1::float * interval '1 hour'"
        await owner.execute(change, hours)
        assert (await browser.call("GET", "/web/overview")).status == status, (column, hours)
        if column == "seen_at" and status == 200:
            recent = "select now() - seen_at < interval '1 minute' from web_session"
            assert await owner.fetchval(recent)


async def test_key_that_was_revoked_elsewhere_ends_its_session(
    door: Door, browser: Browser
) -> None:
    key = (await door.mint())["api_key"]
    await browser.enter(key)
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
    told = await browser.call("GET", "/web/overview")
    assert (told.status, told.json()["code"]) == (401, "AUTH_API_KEY_REVOKED")
    assert (await browser.call("GET", "/web/session")).json()["signed_in"] is False
    told = await browser.call("POST", "/web/session", {"api_key": key})
    assert (told.status, told.json()["code"]) == (401, "AUTH_API_KEY_REVOKED")


async def test_what_is_no_key_signs_nobody_in(browser: Browser) -> None:
    odd = ("", "sluice_" + "0" * 60, "é" * 67, 7, None, ["x"], "x" * 5000, "\r\nSet-Cookie: a=b")
    for given in odd:
        told = await browser.call("POST", "/web/session", {"api_key": given})
        assert told.status in (401, 422)
        assert not told.has("set-cookie")
        assert browser.jar == {}


async def test_odd_cookies_are_nobody(door: Door) -> None:
    name = "sluice_session"
    for cookie in ("", "=", name, f"{name}=", f"{name}=" + "é" * 64, ";;;a=b", f"{name}=x;" * 900):
        told = await door.ask("GET", "/web/session", headers={"Cookie": cookie})
        assert told.status == 200
        assert told.json()["signed_in"] is False


async def test_attempts_are_bounded_per_address_and_the_wait_is_told(
    door: Door, owner: Line
) -> None:
    guessing = Browser(door.port, address="127.0.0.9")
    for _ in range(30):
        told = await guessing.call("POST", "/web/session", {"api_key": "nonsense"})
        assert told.status == 401
    told = await guessing.call("POST", "/web/session", {"api_key": "nonsense"})
    assert (told.status, told.json()["code"]) == (429, "SIGN_IN_TOO_OFTEN")
    assert 480 <= int(told["retry-after"]) <= 600
    other = Browser(door.port, address="127.0.0.10")
    assert (await other.call("POST", "/web/session", {"api_key": "nonsense"})).status == 401
    texts = [row[0] for row in await owner.fetch("select a::text from web_attempt a")]
    assert len(texts) == 31
    assert not any("127.0.0" in text for text in texts)


async def test_minting_signs_in_and_shows_the_key_once(door: Door, browser: Browser) -> None:
    told = await browser.call("POST", "/web/mint", {})
    assert told.status == 201
    key = told.json()["api_key"]
    assert (await door.me(key))["key_id"] == told.json()["session"]["key"]["key_id"]
    page = await browser.open("/")
    assert told.json()["key_id"] in page.text
    assert key not in page.text


async def test_minting_is_limited_per_address_as_everywhere(open_door: Any) -> None:
    async with open_door(KEYS_PER_ADDRESS="1") as door:
        await door.mint()
        told = await Browser(door.port).call("POST", "/web/mint", {})
        assert (told.status, told.json()["code"]) == (429, "RATE_NEW_KEYS_LIMIT_EXCEEDED")
