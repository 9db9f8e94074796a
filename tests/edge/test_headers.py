"""What crosses the gateway in either direction, and what never does."""

import hashlib

import pytest

from gateway.edge.forward import Signer
from services.signing import Signed, body_matches, verify_head
from tests.edge.door import API, READER, SECRETS, Door, Key
from tests.edge.paying import BODY, embed
from tests.edge.scripts import HEADER, answering
from tests.edge.stub import Stub, Turn, used

SECRET = SECRETS["internal_secret"].encode()
# What the gateway says to every service by itself.
OURS = {
    "host",
    "content-length",
    "x-request-id",
    "x-sluice-time",
    "x-sluice-subject",
    "x-sluice-body",
    "x-sluice-signature",
}
SECRETIVE = [
    ("cookie", "session=1"),
    ("x-forwarded-for", "1.2.3.4"),
    ("forwarded", "for=1.2.3.4"),
    ("x-real-ip", "1.2.3.4"),
    ("proxy-authorization", "Basic eA=="),
    ("x-api-key", "k"),
    ("user-agent", "test"),
    ("referer", "https://b.example/"),
    ("accept-encoding", "gzip"),
    ("te", "trailers"),
    ("keep-alive", "timeout=5"),
    ("origin", "https://b.example"),
    ("x-sluice-subject", "k:1"),
    ("x-sluice-signature", "v1=00"),
    ("x-request-id", "mine"),
    ("if-none-match", "x"),
    ("range", "bytes=0-1"),
]


async def test_a_service_sees_only_what_its_product_lists(
    door: Door, key: Key, embeddings: Stub
) -> None:
    allowed = {"accept": "application/json", "accept-language": "de"}
    await embed(door, key, BODY, **allowed, **dict(SECRETIVE))
    turn = await embeddings.turn()
    assert turn.names == OURS | {"accept", "accept-language", "content-type"}
    assert turn.get("accept-language") == "de"
    assert turn.get("x-request-id") != "mine"
    assert turn.get("x-sluice-subject") == key.subject


async def test_the_reader_sees_the_options_of_its_clients(
    door: Door, key: Key, reader: Stub
) -> None:
    options = {
        "X-Respond-With": "markdown",
        "X-Md-Link-Style": "referenced",
        "X-Target-Selector": "#a, .b",
        "X-Set-Cookie": "a=b; domain=c",
        "DNT": "1",
    }
    lines = [*options.items(), ("X-Engine", ""), ("X-Mdx", "no"), *SECRETIVE]
    await door.ask("GET", "/https://a.example/", host=READER, key=key, headers=lines)
    turn = await reader.turn()
    assert turn.names == OURS - {"content-length"} | {name.lower() for name in options}
    for name, value in options.items():
        assert turn.get(name) == value


@pytest.mark.parametrize(
    "connection", ["X-Engine", "keep-alive, x-engine", "close, X-ENGINE", "x-engine,x-timeout"]
)
async def test_what_a_client_declares_hop_by_hop_goes_no_further(
    door: Door, key: Key, reader: Stub, connection: str
) -> None:
    lines = [("X-Engine", "browser"), ("Connection", connection), ("X-No-Cache", "1")]
    await door.ask("GET", "/https://a.example/", host=READER, key=key, headers=lines)
    turn = await reader.turn()
    assert "x-engine" not in turn.names
    assert "connection" not in turn.names
    assert "x-no-cache" in turn.names


async def test_a_client_sees_only_what_is_meant_for_it(
    door: Door, key: Key, embeddings: Stub
) -> None:
    hidden = {
        "server": "uvicorn",
        "set-cookie": "a=b",
        "x-sluice-node": "n",
        "x-ratelimit-limit-requests": "1",
        "ratelimit": "x",
        "retry-after": "9",
        "access-control-allow-origin": "*",
        "x-request-id": "service",
        "proxy-authenticate": "Basic",
        "www-authenticate": "Basic",
        "keep-alive": "timeout=5",
        "trailer": "x",
        "upgrade": "h2c",
        "x-private": "1",
        "alt-svc": "h3",
        "x-charge-rule": "standard",
        "connection": "keep-alive, X-Private",
    }
    shown = {"x-model": "m", "cache-control": "max-age=1", "content-language": "de"}
    embeddings.script = answering(used(7), [*HEADER, *hidden.items(), *shown.items()])
    reply = await embed(door, key)
    for name in ("x-private", "server", "set-cookie", "alt-svc", "keep-alive", "upgrade"):
        assert name not in reply.names
    assert {
        name for name in reply.names if name.startswith(("x-sluice", "access-", "www-"))
    } == set()
    assert reply["x-ratelimit-limit-requests"] == "500"
    assert reply["ratelimit"].startswith('"rpm"')
    assert reply["x-request-id"] != "service"
    assert "retry-after" not in reply.names
    for name, value in shown.items():
        assert reply[name] == value


@pytest.mark.parametrize(
    ("target", "upstream"),
    [
        ("/v1/embeddings", "/v1/embeddings"),
        ("/v1/embeddings?a=b&c=%20", "/v1/embeddings?a=b&c=%20"),
        ("//v1//embeddings/", "/v1/embeddings"),
    ],
)
async def test_every_request_to_a_service_is_signed(
    door: Door, key: Key, embeddings: Stub, target: str, upstream: str
) -> None:
    """By the verifier of the services themselves."""
    await door.ask("POST", target, key=key, body=BODY)
    turn = await embeddings.turn()
    assert turn.path == upstream
    fields = dict(turn.headers)
    now_ms = int(fields["x-sluice-time"])
    signed = verify_head(SECRET, turn.method, turn.path, fields, now_ms)
    assert isinstance(signed, Signed), signed
    assert signed.subject == key.subject
    assert signed.body_digest == hashlib.sha256(BODY).hexdigest()
    assert body_matches(signed, turn.body)
    assert not body_matches(signed, turn.body + b" ")
    for name in ("x-request-id", "x-sluice-subject", "x-sluice-time", "x-sluice-body"):
        forged = fields | {name: "0" * len(fields[name])}
        assert isinstance(verify_head(SECRET, turn.method, turn.path, forged, now_ms), str)


async def test_requests_without_a_body_and_with_odd_targets_are_signed(
    door: Door, key: Key, reader: Stub
) -> None:
    targets = (
        "/https://a.example/b?c=d&e=%2F",
        "/https%3A%2F%2Fa.example%2F%3Fq%3D1",
        "/https://a.example/%C3%A4?%C3%B6#x",
        "/a.example/?url=b",
    )
    for number, target in enumerate(targets, 1):
        await door.ask("GET", target, host=READER, key=key)
        turn = await reader.turn(number)
        assert turn.path == target
        fields = dict(turn.headers)
        signed = verify_head(SECRET, "GET", turn.path, fields, int(fields["x-sluice-time"]))
        assert isinstance(signed, Signed), (target, signed)
        assert signed.body_digest == hashlib.sha256(b"").hexdigest()


async def test_a_streamed_body_is_signed_by_its_head(door: Door, embeddings: Stub) -> None:
    key = await door.key(paid=10**8)
    await embed(door, key, b" " * 1_048_577)
    turn = await embeddings.turn()
    fields = dict(turn.headers)
    assert fields["x-sluice-body"] == "streamed"
    signed = verify_head(SECRET, "POST", turn.path, fields, int(fields["x-sluice-time"]))
    assert isinstance(signed, Signed)
    assert signed.body_digest is None
    await embed(door, key, b" " * 1_048_576)
    assert (await embeddings.turn(2)).get("x-sluice-body") != "streamed"


async def test_requests_without_a_key_name_the_address(door: Door, reader: Stub) -> None:
    header = door.address()
    await door.ask("GET", "/https://a.example/", host=READER, headers=[header])
    assert (await reader.turn()).get("x-sluice-subject") == f"a:{header[1]}"


async def test_every_reply_has_a_request_id_of_its_own(
    door: Door, key: Key, embeddings: Stub, reader: Stub
) -> None:
    asked = [
        await embed(door, key),
        await door.ask("GET", "/https://a.example/", host=READER, key=key),
        await door.ask("GET", "/health"),
        await door.ask("GET", "/v1/keys/me", key=key),
        await door.ask("GET", "/nothing"),
        await door.ask("POST", "/v1/embeddings", body=b"{}"),
        await door.ask("OPTIONS", "/v1/embeddings"),
        await door.ask("GET", "/", host="127.0.0.1"),
        await door.ask("GET", "/", host=READER),
        await door.ask("GET", "/v1/models"),
        await door.ask("PUT", "/v1/embeddings"),
    ]
    ids = [reply.request_id for reply in asked]
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 36 and each[14] == "7" for each in ids)


async def test_the_limits_are_told_in_every_dialect(
    door: Door, key: Key, embeddings: Stub, reader: Stub
) -> None:
    reply = await embed(door, key)
    assert reply["ratelimit-policy"] == '"rpm";q=500;w=60, "tpm";q=1000000;w=60'
    left = 1_000_000 - len(BODY)
    assert reply["ratelimit"] == f'"rpm";r=499;t=60, "tpm";r={left};t=60'
    for kind, limit, rest in (("requests", 500, 499), ("tokens", 1_000_000, left)):
        assert reply[f"x-ratelimit-limit-{kind}"] == str(limit)
        assert reply[f"x-ratelimit-remaining-{kind}"] == str(rest)
        assert reply[f"x-ratelimit-reset-{kind}"] == "60"
    assert "x-ratelimit-limit" not in reply.names
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert reply["x-ratelimit-limit"] == "500, 500;w=60"
    assert reply["x-ratelimit-remaining"] == "499"
    assert "x-ratelimit-limit-tokens" not in reply.names


async def test_a_failure_of_the_service_tells_the_limits_too(door: Door, key: Key) -> None:
    reply = await embed(door, key)
    assert reply.status == 503
    assert reply["x-ratelimit-remaining-requests"] == "499"


@pytest.mark.parametrize("origin", ["https://b.example", "null", "http://localhost:3000"])
async def test_browsers_may_read_answers_and_refusals(
    door: Door, key: Key, embeddings: Stub, origin: str
) -> None:
    for reply in (
        await embed(door, key, BODY, origin=origin),
        await door.ask("POST", "/v1/embeddings", body=b"{}", headers=[("origin", origin)]),
        await door.ask("GET", "/v1/keys/me", key=key, headers=[("origin", origin)]),
        await door.ask("GET", "/nothing", headers=[("origin", origin)]),
    ):
        assert reply["access-control-allow-origin"] == origin
        assert reply["access-control-allow-credentials"] == "true"
        assert "x-usage-tokens" in reply["access-control-expose-headers"]
        assert reply["vary"] == "Origin"
    assert "access-control-allow-origin" not in (await embed(door, key)).names


async def test_browsers_may_ask_before_they_send(door: Door) -> None:
    lines = [
        ("origin", "https://b.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, x-engine"),
    ]
    for host in (API, READER, "deepsearch.localhost", "127.0.0.1"):
        reply = await door.ask("OPTIONS", "/v1/embeddings", host=host, headers=lines)
        assert (reply.status, reply.body) == (204, b"")
        assert reply["access-control-allow-origin"] == "https://b.example"
        assert reply["access-control-allow-headers"] == "authorization, x-engine"
        assert "POST" in reply["access-control-allow-methods"]
        assert reply["access-control-max-age"] == "25200"


async def test_an_origin_that_is_none_is_not_echoed(door: Door, key: Key, embeddings: Stub) -> None:
    for origin in ("a" * 400, "ä", "https://b.example\tx"):
        reply = await embed(door, key, BODY, origin=origin)
        assert reply.status == 200
        assert "access-control-allow-origin" not in reply.names


async def test_a_service_that_forges_lines_forges_nothing(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.read_body()
        await turn.send(b"HTTP/1.1 200 OK\r\nx: a\rset-cookie: b\r\ncontent-length: 2\r\n\r\n{}")

    embeddings.script = script
    reply = await embed(door, key)
    assert reply.status == 502
    assert "set-cookie" not in reply.names


def test_both_sides_agree_on_the_signature_of_odd_bytes() -> None:
    path = b"/\xff\xfe?\xc3\xa4".decode("utf-8", "surrogateescape")
    lines = Signer("secret of sixteen").lines("GET", path, b"x", "id", 5, "a:local")
    fields = dict(line.split(": ", 1) for line in lines.splitlines())
    found = verify_head(b"secret of sixteen", "GET", path, fields, 5)
    assert isinstance(found, Signed)
