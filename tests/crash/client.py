"""A client of the front door that keeps what it saw of every request."""

import asyncio
import json
import socket
from dataclasses import dataclass
from types import TracebackType

# What a request that never got a whole answer is noted as.
BROKEN = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client saw: `status` BROKEN when the answer was not whole.

    `request_id` and `tokens` are from the head, if that came.
    """

    status: int
    request_id: str | None
    tokens: int | None
    body: bytes
    began: bool = True


class Client:
    """One connection, made when it is needed; `small` asks the kernel for a tiny buffer.

    `name` is the Idempotency-Key of every request from then on.
    """

    def __init__(self, port: int, *, small: bool = False) -> None:
        self.name: str | None = None
        self._port = port
        self._small = small
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.hang_up()

    async def send(self, key: str | None, body: dict[str, object]) -> None:
        """Send one request for embeddings; raises OSError when nobody listens."""
        if self._streams is None:
            self._streams = await self._connect()
        text = json.dumps({"model": "m", "input": "x", **body}).encode()
        bearer = f"Authorization: Bearer {key}\r\n" if key is not None else ""
        named = f"Idempotency-Key: {self.name}\r\n" if self.name is not None else ""
        head = (
            "POST /v1/embeddings HTTP/1.1\r\nHost: api.localhost\r\n"
            f"Content-Type: application/json\r\n{bearer}{named}Content-Length: {len(text)}\r\n\r\n"
        )
        self._streams[1].write(head.encode() + text)

    async def receive(self) -> Seen:
        """The answer, as much as comes of it."""
        assert self._streams is not None
        reader = self._streams[0]
        fields: dict[str, str] = {}
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await reader.readexactly(int(fields["content-length"]))
            status = int(head[0].split()[1])
        except (asyncio.IncompleteReadError, ConnectionError):
            status, body = BROKEN, b""
        if status == BROKEN or fields.get("connection") == "close":
            self.hang_up()
        tokens = fields.get("x-usage-tokens")
        return Seen(
            status,
            fields.get("x-request-id"),
            None if tokens is None else int(tokens),
            body,
            bool(fields),
        )

    async def ask(self, key: str | None, **body: object) -> Seen:
        """One request; BROKEN as well when nobody listens."""
        try:
            await self.send(key, body)
        except OSError:
            self.hang_up()
            return Seen(BROKEN, None, None, b"", began=False)
        return await self.receive()

    def hang_up(self) -> None:
        """Close the connection; the next request makes another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        if self._small:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
        except OSError:
            sock.close()
            raise
        # A buffer of the reader's own would take what the kernel does not.
        return await asyncio.open_connection(sock=sock, limit=2**20 if not self._small else 1_024)
