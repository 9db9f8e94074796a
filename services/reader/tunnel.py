"""A forward proxy on loopback through which all of a browser's traffic goes, judged by the guard.

1. the browser knows no other way out: no resolver, no direct connection, not even to loopback
2. every connection it asks for names a host; the guard resolves and judges that host
3. the connection goes to the judged address and to no other, whoever asks again

It refuses what the guard refuses, connections without the word of a page that is open, and a page
that moved more bytes than its share.
"""

import asyncio
import base64
import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

from services.reader import target
from services.reader.fetch import proxy_authorization
from services.reader.guard import Guard, Pinned
from services.reader.refusals import Refusal
from services.reader.target import Target

HEAD_BYTES: Final = 64 * 1024
PIECE_BYTES: Final = 64 * 1024
CONNECT_S: Final = 10.0
HEAD_S: Final = 30.0
CONNECTIONS: Final = 256
# Headers that concern the way to this proxy, not the target.
OURS: Final = (b"proxy-authorization:", b"proxy-connection:", b"connection:", b"keep-alive:")
ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(slots=True)
class Pass:
    """One page's right to the proxy: its user name and word, and how much it may still move.

    With an `onward` proxy, the client's own, all goes through that one, and is judged all the same.
    `refused` are the refusals of the guard, by host and port, in the order in which they came.
    """

    name: str
    word: str
    left_bytes: int
    onward: Target | None = None
    refused: dict[str, Refusal] = field(default_factory=dict)
    connections: int = 0


class Tunnel:
    """The proxy. `open` and `close` bracket it; a page's pass lives from `admit` to `dismiss`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._passes: dict[str, Pass] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """The port on loopback."""
        self._server = await asyncio.start_server(
            self._accept, "127.0.0.1", 0, limit=HEAD_BYTES, backlog=512
        )
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def admit(self, page_bytes: int, onward: Target | None = None) -> Pass:
        """A pass for one page."""
        made = Pass(secrets.token_hex(8), secrets.token_hex(16), page_bytes, onward)
        self._passes[made.name] = made
        return made

    def dismiss(self, made: Pass) -> None:
        """From now on the pass is worth nothing, also on connections that are open."""
        made.left_bytes = 0
        self._passes.pop(made.name, None)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the browser's or the target's end of it is gone, which both of them notice
        except asyncio.CancelledError:
            pass  # `close`, the only one who cancels, waits for this
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        words = first.split(b" ")
        shown = self._pass_of(lines)
        if shown is None:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="page"\r\n'
                b"Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        if len(words) != 3 or shown.connections >= CONNECTIONS:
            _refuse(writer, 400)
            return
        shown.connections += 1
        try:
            await self._forward(reader, writer, shown, words, lines)
        finally:
            shown.connections -= 1

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        shown: Pass,
        words: list[bytes],
        lines: list[bytes],
    ) -> None:
        method, address = words[0], words[1].decode("latin-1")
        tunnelled = method == b"CONNECT"
        pinned = await self._judge(address, tunnelled=tunnelled)
        way = pinned
        if shown.onward is not None and isinstance(pinned, Pinned):
            way = await self._guard.judge(shown.onward)
        if isinstance(pinned, Refusal) or isinstance(way, Refusal):
            named = target.parse(address)
            if isinstance(named, Target) and isinstance(way, Refusal):
                shown.refused.setdefault(f"{named.host}:{named.port}", way)
            _refuse(writer, 403)
            return
        there = await _connect(way)
        if there is None:
            _refuse(writer, 502)
            return
        onward_reader, onward_writer = there
        try:
            if not tunnelled:
                onward_writer.write(_onward(method, pinned.target, lines, shown.onward))
            elif await _is_through(onward_reader, onward_writer, pinned.target, shown.onward):
                writer.write(ESTABLISHED)
            else:
                _refuse(writer, 502)
                return
            await asyncio.gather(
                _pump(reader, onward_writer, shown), _pump(onward_reader, writer, shown)
            )
        finally:
            onward_writer.close()

    async def _judge(self, address: str, *, tunnelled: bool) -> Pinned | Refusal:
        if not tunnelled:
            named = target.parse(address)
            return named if isinstance(named, Refusal) else await self._guard.judge(named)
        verdict: Pinned | Refusal | None = None
        # What is spoken inside a tunnel cannot be seen: TLS as a rule, a plain web socket else.
        for scheme in ("https", "http"):
            named = target.parse(f"{scheme}://{address}/")
            if isinstance(named, Refusal):
                return named
            verdict = await self._guard.judge(named)
            if isinstance(verdict, Pinned):
                return verdict
        assert isinstance(verdict, Refusal)
        return verdict

    def _pass_of(self, lines: list[bytes]) -> Pass | None:
        for line in lines:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"proxy-authorization":
                with contextlib.suppress(ValueError):
                    said = base64.b64decode(value.strip().partition(b" ")[2]).decode()
                    user, _, word = said.partition(":")
                    found = self._passes.get(unquote(user))
                    if found is not None and secrets.compare_digest(found.word, word):
                        return found
        return None


async def _connect(
    pinned: Pinned,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    """A connection to one of the judged addresses, or None."""
    for address in pinned.addresses:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                return await asyncio.open_connection(str(address), pinned.target.port)
    return None


async def _is_through(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: Target, proxy: Target | None
) -> bool:
    """Whether the connection leads to the target now; the client's own proxy is asked for it."""
    if proxy is None:
        return True
    host = f"[{there.host}]" if ":" in there.host else there.host
    address = f"{host}:{there.port}"
    words = (f"CONNECT {address} HTTP/1.1", f"Host: {address}", *_pass_for(proxy), "", "")
    writer.write("\r\n".join(words).encode("latin-1"))
    async with asyncio.timeout(CONNECT_S):
        head = await reader.readuntil(b"\r\n\r\n")
    return head.split(b" ", 2)[1:2] == [b"200"]


def _pass_for(proxy: Target) -> list[str]:
    said = proxy_authorization(proxy).items()
    return [f"{name}: {value}" for name, value in said]


def _onward(method: bytes, there: Target, lines: list[bytes], proxy: Target | None) -> bytes:
    """The head of a plain request as the target is asked; one request per connection."""
    kept = [line for line in lines if not line.lower().startswith((*OURS, b"upgrade:"))]
    path = there.rest if proxy is None else there.url
    own = [] if proxy is None else [line.encode("latin-1") for line in _pass_for(proxy)]
    first = method + b" " + path.encode("latin-1", "replace") + b" HTTP/1.1"
    return b"\r\n".join([first, *kept, *own, b"Connection: close", b"", b""])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shown: Pass) -> None:
    """Moves bytes until one end is gone or the page has had its share."""
    try:
        while piece := await reader.read(PIECE_BYTES):
            shown.left_bytes -= len(piece)
            if shown.left_bytes < 0:
                return
            writer.write(piece)
            await writer.drain()
    except OSError:
        return
    finally:
        # The other direction ends with this one: half-open connections would outlive the page.
        with contextlib.suppress(OSError):
            if writer.can_write_eof() and shown.left_bytes >= 0:
                writer.write_eof()
            else:
                writer.close()


def _refuse(writer: asyncio.StreamWriter, status: int) -> None:
    writer.write(b"HTTP/1.1 %d Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
