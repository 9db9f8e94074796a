"""A service on a real socket that answers what the request's body tells it to, when it is told to.

The body is JSON: `tokens` it reports, `bytes` of its answer, and `wait`: true, then the answer
comes only once the test sets `Arrived.answer`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Arrived:
    """A request that waits in the service."""

    body: dict[str, Any]
    answer: asyncio.Event = field(default_factory=asyncio.Event)


class Stub:
    """Serves any number of connections, one request after another on each."""

    def __init__(self) -> None:
        self.arrivals: asyncio.Queue[Arrived] = asyncio.Queue()
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                if body.get("wait"):
                    arrived = Arrived(body)
                    self.arrivals.put_nowait(arrived)
                    await arrived.answer.wait()
                writer.write(_answer(body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


def _answer(body: dict[str, Any]) -> bytes:
    tokens = body["tokens"]
    filling = "x" * body.get("bytes", 10)
    text = json.dumps({"data": filling, "usage": {"total_tokens": tokens}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    return f"{head}\r\nx-usage-tokens: {tokens}\r\n\r\n".encode() + text


@asynccontextmanager
async def open_stub() -> AsyncIterator[Stub]:
    stub = Stub()
    server = await asyncio.start_server(stub.connected, "127.0.0.1", 0)
    stub.port = server.sockets[0].getsockname()[1]
    try:
        yield stub
    finally:
        server.close()
        await stub.close()
        await server.wait_closed()
