"""A service on a real socket whose every byte is the test's: it can misbehave in any way.

Refuses nothing. `script` is called for each request; what it does not read or send is not read
or sent.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from tests.edge.client import PATIENCE_S

JSON = "application/json"
SSE = "text/event-stream"
Lines = Iterable[tuple[str, str]]


@dataclass
class Turn:
    """One request at the service, on connection number `connection` (from 1)."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    was_read: bool = False

    def get(self, name: str) -> str | None:
        """The only header of that name, or None."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    @property
    def names(self) -> set[str]:
        """The names of all headers, in lower case."""
        return {name.lower() for name, _ in self.headers}

    async def read_body(self) -> bytes:
        """The whole body, however it is framed; what was read is not waited for again."""
        if self.was_read:
            return self.body
        self.was_read = True
        async for piece in self.pieces():
            self.body += piece
        return self.body

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes; raises IncompleteReadError when it is cut."""
        if self.get("transfer-encoding") == "chunked":
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                yield await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                name, _, value = line.decode().partition(":")
                self.trailers.append((name, value.strip()))
            return
        left = int(self.get("content-length") or 0)
        while left:
            piece = await self.reader.read(min(left, 65_536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
            yield piece

    async def send(self, data: bytes) -> None:
        """Write some bytes, with back-pressure."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(
        self, body: bytes = b"{}", *, status: int = 200, headers: Lines = (), kind: str = JSON
    ) -> None:
        """A whole, well-formed answer."""
        await self.read_body()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        start = f"HTTP/1.1 {status} Any\r\ncontent-type: {kind}\r\n{lines}"
        await self.send(f"{start}content-length: {len(body)}\r\n\r\n".encode() + body)

    async def begin(self, *, headers: Lines = (), kind: str = JSON) -> None:
        """The head of a chunked answer."""
        await self.read_body()
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        start = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n{lines}"
        await self.send(f"{start}transfer-encoding: chunked\r\n\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        """One chunk."""
        await self.send(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self, trailers: Lines = ()) -> None:
        """The last chunk and the trailers."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        await self.send(f"0\r\n{lines}\r\n".encode())

    def cut(self) -> None:
        """End the connection without ceremony."""
        self.writer.transport.abort()

    async def hung_up(self, within_s: float = PATIENCE_S) -> None:
        """Return when the gateway has closed the connection."""
        with suppress(ConnectionError):
            await asyncio.wait_for(self.reader.read(-1), within_s)


Script = Callable[[Turn], Awaitable[None]]


def used(tokens: int) -> bytes:
    """A small JSON answer that reports its usage."""
    return orjson.dumps({"object": "list", "data": [1], "usage": {"total_tokens": tokens}})


async def seven(turn: Turn) -> None:
    """A well-behaved service whose every answer costs 7 tokens."""
    await turn.reply(used(7), headers=[("x-usage-tokens", "7")])


class Stub:
    """One service; `turns` are the requests it has seen, `connections` how often it was dialled."""

    def __init__(self) -> None:
        self.script: Script = seven
        self.turns: list[Turn] = []
        self.connections = 0
        self._turned = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._writers: set[asyncio.StreamWriter] = set()

    async def turn(self, number: int = 1) -> Turn:
        """The request of that number (from 1), once it has come."""
        async with asyncio.timeout(PATIENCE_S), self._turned:
            await self._turned.wait_for(lambda: len(self.turns) >= number)
        return self.turns[number - 1]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection until it ends."""
        self.connections += 1
        number = self.connections
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        self._writers.add(writer)
        try:
            while (turn := await _next(reader, writer, number)) is not None:
                async with self._turned:
                    self.turns.append(turn)
                    self._turned.notify_all()
                await self.script(turn)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            if not writer.is_closing():
                writer.transport.abort()

    async def stop(self) -> None:
        """End every connection; a script that failed fails the test."""
        for task in self._tasks:
            task.cancel()
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._tasks:
            if not task.cancelled():
                task.result()


async def _next(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
) -> Turn | None:
    if writer.is_closing():
        return None
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = text[:-4].decode("utf-8", "surrogateescape").split("\r\n")
    method, path, version = first.split(" ")
    assert version == "HTTP/1.1"
    fields = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines]
    return Turn(method, path, fields, reader, writer, number)


@asynccontextmanager
async def listening(stub: Stub, where: Path | int) -> AsyncIterator[None]:
    """The stub on a unix socket or a port."""
    if isinstance(where, int):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", where))
        server = await asyncio.start_server(stub.serve, sock=sock, limit=256 * 1024)
    else:
        server = await asyncio.start_unix_server(stub.serve, where, limit=256 * 1024)
    try:
        yield
    finally:
        server.close()
        await stub.stop()
        if isinstance(where, Path):
            where.unlink(missing_ok=True)
