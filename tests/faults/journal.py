"""Clients of the matrix, and the journal of what each of them saw of each of its requests.

A request tells its own price, and no two of a cell have the same: whatever the ledger charges can
be laid to one request, also where its client has seen no id.
"""

import asyncio
import json
import socket
from dataclasses import dataclass, field

# Longer than any deadline of a gateway: an answer that has not come by then will not.
_PATIENCE_S = 20.0
BROKEN = 0


@dataclass(frozen=True, slots=True)
class Asked:
    """What to ask: `key` None is an address of its own; `name` an Idempotency-Key."""

    key: str | None
    tokens: int
    streamed: bool
    address: str = "127.0.0.1"
    cap: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one attempt: `status` BROKEN when the answer was not whole, or was an error.

    `told_tokens` is the price in the header or trailer.
    """

    status: int
    request_id: str | None = None
    told_tokens: int | None = None
    replayed: bool = False
    why: str = ""


@dataclass
class Entry:
    """One request in the journal, with each of its attempts."""

    asked: Asked
    key_id: int | None
    seen: list[Seen] = field(default_factory=list)

    @property
    def whole(self) -> Seen | None:
        """The attempt that was answered whole."""
        return next((each for each in self.seen if each.status == 200), None)


def _text(asked: Asked) -> bytes:
    lines = [f"Authorization: Bearer {asked.key}"] if asked.key is not None else []
    lines += [f"X-Max-Charge: {asked.cap}"] if asked.cap is not None else []
    lines += [f"Idempotency-Key: {asked.name}"] if asked.name is not None else []
    if asked.key is None:
        accept = "text/event-stream" if asked.streamed else "application/json"
        start = f"GET /https://example.com/?tokens={asked.tokens} HTTP/1.1"
        lines += ["Host: r.localhost", f"Accept: {accept}"]
        return "\r\n".join([start, *lines, "", ""]).encode()
    document: dict[str, object] = {"model": "m", "tokens": asked.tokens}
    if asked.streamed:
        path, host = "/v1/chat/completions", "deepsearch.localhost"
        document |= {"messages": [{"role": "user", "content": "x"}], "stream": True}
    else:
        path, host = "/v1/embeddings", "api.localhost"
        # No token is shorter than a byte: enough is held for the price.
        document["input"] = "x" * (asked.tokens + 20)
    body = json.dumps(document).encode()
    lines += [f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


class Client:
    """One connection at a time to one gateway; a new one after a broken answer."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self.port = port
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, asked: Asked) -> Seen:
        """One attempt."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(
                        "127.0.0.1", self.port, local_addr=(self._address, 0)
                    )
                self._streams[1].write(_text(asked))
                return await self._read(self._streams[0])
        except TimeoutError:
            await self.hang_up()
            return Seen(BROKEN, why="no answer within the client's patience")
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.hang_up()
            return Seen(BROKEN, why=f"{type(error).__name__} {error}")

    async def hang_up(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _read(self, reader: asyncio.StreamReader) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        status, body = int(first.split()[1]), b""
        request_id = fields.get("x-request-id")
        try:
            if "content-length" in fields:
                body = await reader.readexactly(int(fields["content-length"]))
            else:
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += (await reader.readexactly(size + 2))[:-2]
                while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                    name, _, value = line.decode("latin-1").partition(":")
                    fields[name.lower()] = value.strip()
        except (OSError, asyncio.IncompleteReadError) as error:
            await self.hang_up()
            return Seen(BROKEN, request_id, why=f"cut after {len(body)} bytes: {error}")
        if fields.get("connection") == "close":
            await self.hang_up()
        told = fields.get("x-usage-tokens")
        failed = status == 200 and b"event: error" in body
        return Seen(
            BROKEN if failed else status,
            request_id,
            int(told) if told is not None and told.isdigit() else None,
            fields.get("idempotent-replayed") == "true",
            body[-300:].decode("latin-1") if failed or status != 200 else "",
        )


async def ready(port: int) -> tuple[int, bytes]:
    """What /ready says: status and body; BROKEN when nobody answers."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                text = await reader.read(-1)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError):
        return BROKEN, b""
    head, _, body = text.partition(b"\r\n\r\n")
    return (int(head.split()[1]), body) if head else (BROKEN, b"")


def listens_nowhere() -> socket.socket:
    """A socket that is bound to a port and never listens, so that nobody else takes it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("127.0.0.1", 0))
    return sock
