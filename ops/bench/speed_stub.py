"""The service behind every side of `make bench-speed`: what it answers stands in the request.

The first bytes of a body name the answer: "small" 1 KB of JSON, "large" 1 MB of JSON, "slow" 1 KB
after 50 ms, "events" 40 server-sent events, one every 20 ms. Takes bodies with a length and in
chunks (an aiohttp proxy sends chunks), and refuses to keep them.
"""

import asyncio
import sys
from typing import Final, cast

import orjson
import uvloop

EVENTS: Final = 40
EVENT_S: Final = 0.02
SLOW_S: Final = 0.05
USAGE_TOKENS: Final = 7
_LOOKED_AT: Final = 64
_LAST_CHUNK: Final = b"0\r\n\r\n"


def _answer(numbers: int) -> bytes:
    document = orjson.dumps(
        {
            "model": "stub",
            "object": "list",
            "usage": {"total_tokens": USAGE_TOKENS, "prompt_tokens": USAGE_TOKENS},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.123456] * numbers}],
        }
    )
    return (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-usage-tokens: %d\r\n"
        b"content-length: %d\r\n\r\n%b" % (USAGE_TOKENS, len(document), document)
    )


def _chunk(event: object) -> bytes:
    line = b"data: %b\n\n" % (event if isinstance(event, bytes) else orjson.dumps(event))
    return b"%x\r\n%b\r\n" % (len(line), line)


SMALL: Final = _answer(100)
LARGE: Final = _answer(111_100)
STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)
_WORDS: Final = {"choices": [{"index": 0, "delta": {"content": "some words of an answer " * 4}}]}
_LAST: Final = {
    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
    "usage": {"total_tokens": USAGE_TOKENS},
}
EVENT: Final = _chunk(_WORDS)
STREAM_END: Final = _chunk(_LAST) + _chunk(b"[DONE]") + _LAST_CHUNK


class Service(asyncio.Protocol):
    """One connection; one request after another."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._seen = b""
        self._tail = b""
        # What of a body is still to come; -1: it comes in chunks, None: a head is awaited.
        self._left: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            head, data, self._head = data[:end].lower(), data[end + 4 :], b""
            at = head.find(b"content-length: ")
            chunked = at < 0 and b"transfer-encoding: chunked" in head
            length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._left = -1 if chunked else length
            self._seen = self._tail = b""
        if len(self._seen) < _LOOKED_AT:
            self._seen += data[:_LOOKED_AT]
        if self._left < 0:
            self._tail = (self._tail + data[-5:])[-5:]
            whole = self._tail == _LAST_CHUNK
        else:
            self._left -= len(data)
            whole = self._left == 0
        if whole:
            self._left = None
            self._reply()

    def _reply(self) -> None:
        seen = self._seen
        if b'"slow"' in seen:
            self._loop.call_later(SLOW_S, self._write, SMALL)
        elif b'"large"' in seen:
            self._write(LARGE)
        elif b'"events"' in seen:
            self._write(STREAM_HEAD + EVENT)
            self._event(1, self._loop.time())
        else:
            self._write(SMALL)

    def _event(self, number: int, began_s: float) -> None:
        if number > 1:
            self._write(EVENT if number < EVENTS else EVENT + STREAM_END)
        if number < EVENTS:
            # By the clock, not by the last event: who is late catches up.
            due_s = began_s + number * EVENT_S
            self._loop.call_later(due_s - self._loop.time(), self._event, number + 1, began_s)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


async def main() -> None:
    """`speed_stub.py PORT`."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Service, "127.0.0.1", int(sys.argv[1]), backlog=4_096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
