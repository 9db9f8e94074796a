"""A client without manners of its own: what is sent is what the test says, byte by byte.

Refuses to repair anything: a reply that is no HTTP/1.1 fails the test.
"""

import asyncio
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson

PATIENCE_S = 30.0
Lines = Iterable[tuple[str, str]]


@dataclass
class Reply:
    """One answer. `trailers` are those behind the last chunk; `whole` False: it was cut."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)
    whole: bool = True

    def get(self, name: str) -> str | None:
        """The only header of that name, or None; two of a name fail the test."""
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} came {len(found)} times"
        return found[0] if found else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"there is no {name} in {self.headers}"
        return value

    @property
    def names(self) -> set[str]:
        """The names of all headers, in lower case."""
        return {name.lower() for name, _ in self.headers}

    def json(self) -> Any:
        """The body as JSON, which its content type must name."""
        assert self["content-type"].startswith("application/json"), self.headers
        return orjson.loads(self.body)

    @property
    def request_id(self) -> str:
        """The x-request-id."""
        return self["x-request-id"]


def head(method: str, target: str, headers: Lines) -> bytes:
    """A request's head as a careful client writes it."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")


class Wire:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int, *, small_window: bool = False) -> Self:
        """Connect; `small_window`: the kernel takes as little as it can for us."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if small_window:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        limit = 64 * 1024 if small_window else 4 * 1024 * 1024
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        """Write everything."""
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), PATIENCE_S)

    async def ask(self, data: bytes, *, method: str = "GET") -> Reply:
        """Send and read one answer."""
        await self.send(data)
        return await self.reply(method=method)

    async def close(self) -> None:
        """End the connection in the usual way."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return

    def reset(self) -> None:
        """End the connection with RST, as a process that is killed does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def is_open(self, within_s: float = 0.2) -> bool:
        """Whether the gateway keeps the connection and says nothing more on it."""
        try:
            rest = await asyncio.wait_for(self.reader.read(1), within_s)
        except TimeoutError:
            return True
        except ConnectionError:
            return False
        assert rest == b"", "the gateway said more than one answer"
        return False

    async def ended(self) -> bytes:
        """What comes until the gateway closes."""
        try:
            return await asyncio.wait_for(self.reader.read(-1), PATIENCE_S)
        except ConnectionError:
            return b""

    async def reply_head(self) -> Reply:
        """The head of the next answer that is no 1xx."""
        text = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        first, *lines = text[:-4].decode("latin-1").split("\r\n")
        version, status, _phrase = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        return Reply(int(status), [_field(line) for line in lines])

    async def reply(self, *, method: str = "GET", skip_continue: bool = True) -> Reply:
        """The next answer, whole or as far as it came."""
        found = await self.reply_head()
        while skip_continue and found.status == 100:
            found = await self.reply_head()
        if method == "HEAD" or found.status in (204, 304):
            return found
        try:
            await asyncio.wait_for(self._body(found), PATIENCE_S)
        except (asyncio.IncompleteReadError, ConnectionError) as broken:
            found.whole = False
            if isinstance(broken, asyncio.IncompleteReadError):
                found.body += broken.partial
        return found

    async def _body(self, found: Reply) -> None:
        length, coding = found.get("content-length"), found.get("transfer-encoding")
        assert length is None or coding is None, "both framings at once"
        if coding is not None:
            assert coding == "chunked"
            while size := int(await self.line(), 16):
                found.body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            while line := await self.line():
                found.trailers.append(_field(line.decode("latin-1")))
        elif length is not None:
            found.body = await self.reader.readexactly(int(length))
        else:
            found.body = await self.reader.read(-1)

    async def line(self) -> bytes:
        """One line without its end."""
        return (await self.reader.readuntil(b"\r\n"))[:-2]


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    assert colon, f"a header line without a colon: {line!r}"
    assert name == name.strip()
    return name, value.strip()
