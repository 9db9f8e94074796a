"""The services behind `make soak`: every product's answers, good and bad, by what a request says.

A request's body names one of `KINDS` as its model; whoever names none gets a small whole answer.
Refuses to answer the same way for ever: times and sizes are drawn by chance.
"""

import asyncio
import random
import sys
from typing import Final

import orjson
import uvloop

KINDS: Final = ("whole", "big", "short", "long", "fail", "cut", "stall", "refuse")
USAGE_TOKENS: Final = 7
SHORT_EVENTS: Final = 10
SHORT_S: Final = 0.05
LONG_EVENTS: Final = 80
LONG_S: Final = 0.25
STALL_S: Final = 1.0
_BIG_NUMBERS: Final = (30_000, 90_000)
_JSON: Final = "application/json"


def _usage(tokens: int) -> dict[str, object]:
    return {"usage": {"total_tokens": tokens, "tokens": tokens}}


class Service:
    """Answers requests; one object for all connections."""

    def __init__(self) -> None:
        self._chance = random.Random()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until its end."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                body = await _body(head, reader)
                kind = next((k for k in KINDS if b'"model":"%b"' % k.encode() in body), "whole")
                if not await self._answer(kind, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):
            # The event loop's own word for writing to a connection that has just been closed.
            return
        finally:
            writer.close()

    async def _answer(self, kind: str, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is still good."""
        if kind in ("short", "long"):
            await self._stream(kind, writer)
        elif kind == "cut":
            writer.write(_head(200, 10_000) + b'{"data": "')
            await writer.drain()
            writer.transport.abort()
            return False
        elif kind == "fail":
            _whole(writer, {"detail": "the model fell over"}, 500)
        elif kind == "refuse":
            _whole(writer, {"detail": "the input is not what this model takes"}, 422)
        else:
            await asyncio.sleep(STALL_S if kind == "stall" else self._chance.random() * 0.01)
            many = self._chance.randint(*_BIG_NUMBERS) if kind == "big" else 40
            _whole(writer, _usage(USAGE_TOKENS) | {"data": [0.123456] * many})
        await writer.drain()
        return True

    async def _stream(self, kind: str, writer: asyncio.StreamWriter) -> None:
        events, pause_s = (SHORT_EVENTS, SHORT_S) if kind == "short" else (LONG_EVENTS, LONG_S)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number in range(events):
            _chunk(writer, b": usage %d\n\n" % (number + 1))
            delta = {"choices": [{"index": 0, "delta": {"content": "some words " * 6}}]}
            _chunk(writer, b"data: %b\n\n" % orjson.dumps(delta))
            await writer.drain()
            await asyncio.sleep(pause_s)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]} | _usage(events)
        _chunk(writer, b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(last))
        writer.write(b"0\r\n\r\n")


def _head(status: int, length: int) -> bytes:
    return (
        f"HTTP/1.1 {status} Any\r\ncontent-type: {_JSON}\r\ncontent-length: {length}\r\n\r\n"
    ).encode()


def _whole(writer: asyncio.StreamWriter, document: object, status: int = 200) -> None:
    body = orjson.dumps(document)
    writer.write(_head(status, len(body)) + body)


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


async def _body(head: bytes, reader: asyncio.StreamReader) -> bytes:
    if b"transfer-encoding: chunked" in head:
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
    at = head.find(b"\r\ncontent-length: ")
    length = int(head[at + 18 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return await reader.readexactly(length)


async def main() -> None:
    """`soak_service.py PORT`."""
    service = Service()
    server = await asyncio.start_server(
        service.serve, "127.0.0.1", int(sys.argv[1]), backlog=1_024, limit=2**20
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
