"""What a client sends never becomes a header, a second reply, or sight of somebody else's data."""

import re

from tests.control.plain_http import Told, raw
from tests.control.rig import Door

EVIL = "evil%0d%0aset-cookie:%20a=b%0d%0a%0d%0aHTTP/1.1%20200%20OK"
HEADER_NAME = re.compile(r"[a-z0-9-]+")


def _is_clean(told: Told) -> None:
    assert not told.has("set-cookie")
    for name, value in told.headers:
        assert HEADER_NAME.fullmatch(name), told.headers
        assert value.isprintable(), told.headers
        assert value.isascii(), told.headers
    assert len([name for name, _ in told.headers if name == "x-request-id"]) == 1


PATHS_AND_QUERIES_ARE = [
    f"/{EVIL}",
    f"/v1/keys/{EVIL}",
    f"/v1/requests/{EVIL}",
    f"/v1/keys/me/usage?by={EVIL}",
    f"/v1/keys/me/usage?{EVIL}",
    f"/r/{EVIL}",
    "/" + "a" * 4_000,
    "/\udcff\udcfe%00",
    "/%00%0a%0d",
    "/<script>alert(1)</script>",
]


async def _paths_and_queries_are_reflected_as_json_only(door: Door, path: str) -> None:
    key = (await door.mint())["api_key"]
    for host in ("", "r.localhost", "deepsearch.localhost", "dash.localhost"):
        for method in ("GET", "PUT"):
            told = await door.ask(method, path, host=host, bearer=key)
            assert told.status < 500 or told.status == 503, (host, method)
            _is_clean(told)
            if told.status >= 400:
                assert told.json()["request_id"]
                assert told["content-type"] == "application/json; charset=utf-8"
                assert len(told.body) < 2_000


async def test_paths_and_queries_are_reflected_as_json_only(door: Door) -> None:
    for case in PATHS_AND_QUERIES_ARE:
        await _paths_and_queries_are_reflected_as_json_only(door, case)


HEADER_VALUES_NEVER_COME = [
    ("X-Request-Id", "mine"),
    ("X-Request-Id", "a\tb"),
    ("Origin", "https://evil.example\udcff"),
    ("Origin", "x" * 5_000),
    ("Origin", "null\tset-cookie: a"),
    ("Host", "evil.example/\udcff<script>"),
    ("Host", "a b"),
    ("X-Forwarded-For", "\udcff, ' or 1=1 --"),
    ("X-Forwarded-Host", "evil.example"),
    ("Accept", "\udcff"),
    ("Accept-Language", "x" * 5_000),
    ("Cookie", "a=\udcff"),
]


async def _header_values_never_come_back_as_they_are(door: Door, name: str, value: str) -> None:
    key = (await door.mint())["api_key"]
    for path in ("/", "/v1/keys/me", "/nothing", "/v1/keys"):
        fields = [("Authorization", f"Bearer {key}"), (name, value)]
        if name != "Host":
            fields.append(("Host", "x"))
        lines = "".join(f"{n}: {v}\r\n" for n, v in fields)
        sent = f"GET {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n"
        told = await raw(door.port, sent.encode("utf-8", "surrogateescape"))
        assert told.status < 500
        _is_clean(told)
        assert told["x-request-id"] != value
        assert "evil.example" not in str([v for n, v in told.headers if n != "vary"])
        if name == "Host":
            assert b"<script>" not in told.body or told["content-type"].startswith(
                "application/json"
            )


async def test_header_values_never_come_back_as_they_are(door: Door) -> None:
    for case in HEADER_VALUES_NEVER_COME:
        await _header_values_never_come_back_as_they_are(door, *case)


async def test_an_honest_origin_may_read_and_no_cookie_ever_counts(door: Door) -> None:
    minted = await door.mint()
    told = await door.ask(
        "GET",
        "/v1/keys/me",
        bearer=minted["api_key"],
        headers={"Origin": "https://app.example"},
    )
    assert told["access-control-allow-origin"] == "https://app.example"
    assert told["vary"] == "Origin"
    cookie = {"Cookie": f"Authorization=Bearer {minted['api_key']}; key={minted['api_key']}"}
    assert (await door.ask("GET", "/v1/keys/me", headers=cookie)).status == 401


async def test_nothing_of_anybody_is_told_without_his_key(door: Door) -> None:
    minted = await door.mint()
    reply = await door.spend(minted["api_key"])
    other = (await door.mint())["api_key"]
    ask = door.ask
    for path in (
        "/v1/keys/me",
        "/v1/keys/me/usage",
        "/v1/keys/me/usage?recent=9",
        f"/v1/keys/me?key_id={minted['key_id']}",
        f"/v1/requests/{reply['x-request-id']}",
        f"/v1/keys/me?api_key={minted['api_key']}",
        f"/v1/keys/me?_token={minted['api_key']}",
    ):
        assert (await ask("GET", path)).status == 401, path
        told = await ask("GET", path, bearer=other)
        assert minted["key_id"] not in told.text
        assert reply["x-request-id"] not in told.text or told.status == 404
    for path in (f"/v1/keys/{minted['key_id']}", f"/v1/keys/{minted['key_id']}/usage"):
        assert (await ask("GET", path, bearer=other)).status == 404
    for path in ("/admin/keys?query=x", f"/admin/keys/{minted['key_id']}", "/metrics"):
        for bearer in (None, other):
            assert (await ask("GET", path, bearer=bearer)).status == 404, path


async def test_the_public_port_tells_nothing_of_the_inside(door: Door) -> None:
    for path in ("/ready", "/live", "/health"):
        told = await door.ask("GET", path)
        assert told.json() == {"status": "ok"}
        assert not told.has("server")
    for path in ("/", "/nothing"):
        told = await door.ask("GET", path)
        for word in ("postgres", "redis", "aiohttp", "python", str(door.node.spool.directory)):
            assert word not in told.text.lower()
