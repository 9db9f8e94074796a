"""Who pays: streams of events."""

import orjson
import pytest

from tests.edge.client import Reply
from tests.edge.door import DEEPSEARCH, Door, Key
from tests.edge.paying import Cost, paid, told
from tests.edge.scripts import chunked
from tests.edge.stub import SSE, Script, Stub, Turn


def event(text: bytes) -> bytes:
    return b"data: %b\n\n" % text


FINAL = event(
    b'{"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], '
    b'"usage": {"prompt_tokens": 3, "total_tokens": 11}}'
)
FIRST = event(b'{"choices": [{"index": 0, "delta": {"content": "<think>"}}], "usage": null}')
ASK = b'{"messages": [{"role": "user", "content": "x"}], "stream": true, "budget_tokens": 500}'


async def search(door: Door, key: Key, stub: Stub, script: Script) -> Reply:
    stub.script = script
    return await door.ask("POST", "/v1/chat/completions", host=DEEPSEARCH, key=key, body=ASK)


@pytest.mark.parametrize("behind", [b"", event(b"[DONE]"), b": over\n\n", event(b"{}")])
async def test_usage_of_the_last_event_that_has_one_is_charged(
    door: Door, key: Key, deepsearch: Stub, behind: bytes
) -> None:
    early = event(b'{"choices": [{"finish_reason": null}], "usage": {"total_tokens": 5}}')
    pieces = [FIRST, early, FINAL] + ([behind] if behind else [])
    reply = await search(door, key, deepsearch, chunked(pieces, kind=SSE))
    assert reply.body == b"".join(pieces)
    assert told(reply) == 11
    await paid(door, key, reply.request_id, Cost("complete", 11, None, 11), "deepsearch")


async def test_events_cut_anywhere_and_ended_with_crlf_are_read(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    text = (FIRST + FINAL).replace(b"\n", b"\r\n")
    pieces = [text[at : at + 7] for at in range(0, len(text), 7)]
    reply = await search(door, key, deepsearch, chunked(pieces, kind=SSE))
    assert reply.body == text
    await paid(door, key, reply.request_id, Cost("complete", 11, None, 11), "deepsearch")


@pytest.mark.parametrize(
    "error",
    [
        b'event: error\ndata: {"message": "no"}\n\n',
        event(b'{"error": {"message": "no"}}'),
        event(b'{"choices": [{"finish_reason": "error"}], "usage": {"total_tokens": 9}}'),
    ],
)
async def test_a_stream_with_an_error_event_is_free(
    door: Door, key: Key, deepsearch: Stub, error: bytes
) -> None:
    script = chunked([FIRST, error, FINAL], kind=SSE)
    reply = await search(door, key, deepsearch, script)
    assert told(reply) == 0
    cost = Cost("answer_says_error", 0, None, 11, "failed", 200)
    await paid(door, key, reply.request_id, cost, "deepsearch")


async def test_a_stream_that_only_talks_of_errors_is_charged(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    """Whoever makes a model say `event: error` pays like anybody."""
    text = b'event: error\\n data: {\\"error\\": 1} \\"finish_reason\\":\\"error\\"'
    talk = event(b'{"choices": [{"delta": {"content": "%b"}}]}' % text)
    reply = await search(door, key, deepsearch, chunked([talk, FINAL], kind=SSE))
    await paid(door, key, reply.request_id, Cost("complete", 11, None, 11), "deepsearch")


async def test_a_stream_without_usage_is_free_and_counted_as_unreported(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    reply = await search(door, key, deepsearch, chunked([FIRST], kind=SSE))
    cost = Cost("complete_unreported", 0, None, None, "unreported", 200)
    await paid(door, key, reply.request_id, cost, "deepsearch")


async def test_a_stream_that_breaks_off_ends_with_an_error_event(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        await turn.chunk(FIRST)
        turn.writer.close()

    reply = await search(door, key, deepsearch, script)
    assert reply.whole
    assert reply.body.startswith(FIRST)
    name, data = reply.body.removeprefix(FIRST).strip().split(b"\n")
    assert name == b"event: error"
    document = orjson.loads(data.removeprefix(b"data: "))
    assert document["code"] == "SERVICE_BROKE_OFF"
    assert document["request_id"] == reply.request_id
    assert told(reply) == 0
    cost = Cost("service_broke_off", 0, None, status=502)
    await paid(door, key, reply.request_id, cost, "deepsearch")


async def test_a_stream_that_breaks_off_within_an_event_is_cut(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        await turn.chunk(FIRST + b'data: {"cho')
        turn.writer.close()

    reply = await search(door, key, deepsearch, script)
    assert not reply.whole
    cost = Cost("service_broke_off", 0, None, status=502)
    await paid(door, key, reply.request_id, cost, "deepsearch")
