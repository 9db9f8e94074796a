"""Whatever is thrown at the listener: a 4xx or the answer, in JSON; no hang, no 5xx, no charge."""

import asyncio
from typing import cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.client import Reply, Wire
from tests.edge.door import TRIAL, Door, Key
from tests.edge.paying import embed
from tests.edge.stub import Stub, Turn

# As long as a connection may outlive what its client had to say.
AT_MOST_S = 30.0
# When nothing has come for so long, nothing more will before the client goes on.
QUIET_S = 0.04
NO_WRITER = cast(asyncio.StreamWriter, None)
HOSTS = ("api.localhost", "r.localhost", "s.localhost", "deepsearch.localhost", "127.0.0.1", "")
METHODS = ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "CONNECT", "G\tT")
PATHS = (
    "/",
    "*",
    "/v1/embeddings",
    "/v1/classify",
    "/v1/segment",
    "/v1/chat/completions",
    "/v1/keys/me",
    "/v1/keys/me/usage?days=-1&by=x",
    "/v1/requests/%00",
    "/v1/models/x",
    "/r/https://a.example/",
    "/s/q",
    "/https://a.example/?a=b#c",
    "http://api.localhost/v1/embeddings",
    "/v1//embeddings/../..",
    "/%ff%fe",
)
NAMES = st.sampled_from(
    (
        "Authorization",
        "Content-Length",
        "Transfer-Encoding",
        "Content-Type",
        "Content-Encoding",
        "Connection",
        "Expect",
        "Upgrade",
        "X-Forwarded-For",
        "X-Token-Budget",
        "X-Max-Tokens",
        "Accept",
        "Origin",
        "Host",
        "Cookie",
        "Trailer",
    )
)
WORDS = st.sampled_from(
    (
        "chunked",
        "gzip",
        "close",
        "keep-alive, x-engine",
        "100-continue",
        "0",
        "2",
        "-1",
        "99999999999999999999",
        "Bearer sluice_" + "x" * 60,
        "Bearer",
        "Basic eDp5",
        "1.2.3.4, ::1, nonsense",
        "application/json",
        "websocket",
        "null",
        "",
    )
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        (
            b"{}",
            b'{"labels": [], "input": "x"}',
            b'{"classifier_id": 1e400}',
            b"2\r\n{}\r\n0\r\n\r\n",
            b"0\r\n\r\n",
            b"\xff\xfe",
            b"[" * 2_000,
            b'{"num_iters": 99999999999999999999, "input": []}',
        )
    ),
)
HEADERS = st.lists(st.tuples(NAMES, WORDS | st.text(max_size=30)), max_size=6)
BOUNDED = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# No service is there in these tests; whatever else is wrong is wrong with the request.
ALLOWED_503 = ("SERVICE_NOT_DEPLOYED", "SERVICE_UNAVAILABLE", "BILLING_NOT_CONFIGURED")


async def heard(door: Door, data: bytes) -> bytes:
    """All that is answered; the connection must end when the client has nothing more to say."""
    async with await door.wire() as wire:
        wire.writer.write(data)
        came = b""
        while piece := await _some(wire):
            came += piece
        if wire.writer.can_write_eof() and not wire.reader.at_eof():
            wire.writer.write_eof()
        return came + await asyncio.wait_for(_rest(wire), AT_MOST_S)


async def _some(wire: Wire) -> bytes:
    try:
        return await asyncio.wait_for(wire.reader.read(65_536), QUIET_S)
    except (TimeoutError, ConnectionError):
        return b""


async def _rest(wire: Wire) -> bytes:
    try:
        return await wire.reader.read(-1)
    except ConnectionError:
        return b""


async def replies(came: bytes, method: str) -> list[Reply]:
    """The answers in these bytes; anything that is none fails."""
    if came.partition(b"\r\n\r\n")[2].startswith(b"{"):
        method = "GET"  # what was no request had no method either
    reader = asyncio.StreamReader()
    reader.feed_data(came)
    reader.feed_eof()
    found: list[Reply] = []
    while not reader.at_eof():
        wire = Wire(reader, NO_WRITER)
        found.append(await wire.reply(method=method, skip_continue=False))
        if found[-1].status != 100:
            method = "GET"
    return found


def judge(reply: Reply, data: bytes) -> None:
    """An answer, or a refusal in JSON that is not our fault."""
    if reply.status == 100:
        return
    assert reply.whole, data
    assert reply.request_id
    if reply.body and not reply["content-type"].startswith("text/plain"):
        document = reply.json()
        if reply.status == 503:
            code = document.get("reason") or document["code"]
            assert code in ALLOWED_503, (data, document)
    else:
        assert reply.status in (200, 204) or not reply.body, (data, reply)
    assert reply.status < 500 or reply.status == 503, (data, reply)
    assert reply.get("x-usage-tokens") in (None, "0")


@BOUNDED
@given(st.binary(min_size=1, max_size=300))
async def test_bytes_of_any_kind_are_refused(door: Door, data: bytes) -> None:
    for reply in await replies(await heard(door, data + b"\r\n\r\n"), "GET"):
        judge(reply, data)


@BOUNDED
@given(
    st.sampled_from(METHODS),
    st.sampled_from(PATHS) | st.text(max_size=40).map(lambda text: f"/{text}"),
    st.sampled_from(HOSTS) | st.text(max_size=20),
    HEADERS,
    st.booleans(),
    BODIES,
)
async def test_requests_of_any_kind_are_answered_and_cost_nothing(
    door: Door,
    key: Key,
    method: str,
    path: str,
    host: str,
    headers: list[tuple[str, str]],
    keyed: bool,
    body: bytes,
) -> None:
    fields = [("Host", host), *headers, *([key.bearer] if keyed else [])]
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    start = f"{method} {path} HTTP/1.1\r\n{lines}\r\n"
    data = start.encode("utf-8", "surrogatepass") + body
    for reply in await replies(await heard(door, data), method):
        judge(reply, data)
    if not (method == "DELETE" and "/keys/me" in path):
        assert await door.balance(key) == TRIAL


STATUS = st.sampled_from((b"200 OK", b"204 No", b"404 No", b"500 Bad", b"100 Go", b"302 Go", b"x"))
FIELDS = st.lists(
    st.sampled_from(
        (
            b"content-length: 2",
            b"content-length: 20",
            b"content-length: x",
            b"transfer-encoding: chunked",
            b"content-type: application/json",
            b"content-type: text/event-stream",
            b"x-usage-tokens: 3",
            b"x-usage-tokens: -3",
            b"x-charge-rule: void",
            b"connection: close",
            b"connection: x-usage-tokens",
            b" folded",
            b"nothing",
        )
    ),
    max_size=5,
)
SAID = st.one_of(
    st.binary(max_size=100),
    st.sampled_from(
        (
            b"{}",
            b'{"usage": {"total_tokens": 4}}',
            b"2\r\n{}\r\n0\r\n\r\n",
            b"2\r\n{}\r\n0\r\nx-usage-tokens: 5\r\n\r\n",
            b'data: {"usage": {"total_tokens": 6}}\n\n',
            b"event: error\n\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        )
    ),
)


@BOUNDED
@given(STATUS, FIELDS, st.lists(SAID, max_size=4), st.booleans())
async def test_services_of_any_kind_are_survived_and_charged_as_told(
    door: Door,
    embeddings: Stub,
    status: bytes,
    fields: list[bytes],
    said: list[bytes],
    at_once: bool,
) -> None:
    """However they answer: what the client was told of the price is what the ledger has."""
    start = b"HTTP/1.1 %b\r\n%b\r\n" % (status, b"".join(each + b"\r\n" for each in fields))

    async def script(turn: Turn) -> None:
        await turn.read_body()
        for piece in [start + b"".join(said)] if at_once else [start, *said]:
            await turn.send(piece)
            await asyncio.sleep(0)
        turn.writer.close()

    embeddings.script = script
    await door.run(door.forgive())
    key = await door.key()
    reply = await embed(door, key)
    assert reply.status < 500 or reply.status == 502, reply
    await door.at_rest(key.subject)
    (row,) = await door.rows(key)
    assert row.request_id == reply.request_id
    assert await door.balance(key) == TRIAL - row.cost_tokens
    told = reply.get("x-usage-tokens") or dict(reply.trailers).get("x-usage-tokens")
    if reply.whole:
        assert row.cost_tokens == int(told or "-1")
