"""A service as fast as Python can make one: a prepared 1 KB JSON answer for every request.

`/stream` paths answer 100 MB in chunks, for the memory measurement. Refuses to look at bodies,
but takes them with a length and in chunks: one that takes a chunk for a second request answers
twice, which costs a proxy its connection and makes the yardstick look twice as dear as it is.
"""

import asyncio
import sys
from typing import cast

import orjson
import uvloop

_DOCUMENT = orjson.dumps(
    {
        "model": "stub",
        "object": "list",
        "usage": {"total_tokens": 7, "prompt_tokens": 7},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.123456] * 96}],
    }
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-usage-tokens: 7\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_DOCUMENT), _DOCUMENT)
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-usage-tokens: 7\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_PIECE = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
_PIECES = 1_600


class Service(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""
        self._room = asyncio.Event()
        self._room.set()
        self._streams: set[asyncio.Task[None]] = set()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if at < 0 and b"transfer-encoding: chunked" in head.lower():
                # Nobody here sends a second request before the answer to the first.
                if not self._buffer.endswith(b"\r\n0\r\n\r\n"):
                    return
                length = len(self._buffer) - end - 4
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            if b"/stream" in head[:100]:
                self._streams.add(asyncio.create_task(self._stream()))
            else:
                self._transport.write(ANSWER)

    async def _stream(self) -> None:
        self._transport.write(_STREAM_HEAD)
        for _ in range(_PIECES):
            await self._room.wait()
            self._transport.write(_PIECE)
        self._transport.write(b"0\r\n\r\n")


async def main() -> None:
    """`stub.py PORT`."""
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
