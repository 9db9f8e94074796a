"""Plain HTTP for tests of the control plane: what is sent is what the test says, byte by byte."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Told:
    """One answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __getitem__(self, name: str) -> str:
        (found,) = [value for key, value in self.headers if key == name]
        return found

    def has(self, name: str) -> bool:
        """Whether there is such a header."""
        return any(key == name for key, _ in self.headers)

    def json(self) -> Any:
        """The body, which must be JSON and say so."""
        assert self["content-type"].startswith("application/json"), self
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


async def raw(port: int, sent: bytes, *, method: str = "GET", address: str = "127.0.0.1") -> Told:
    """Send these bytes on a connection of their own and read the first answer."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        try:
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head[:-4].decode("latin-1").split("\r\n")
            pairs = tuple((n.lower(), v.strip()) for n, _, v in (x.partition(":") for x in lines))
            length = next((int(v) for n, v in pairs if n == "content-length"), None)
            if method == "HEAD":
                body = b""
            else:
                body = await (reader.read(-1) if length is None else reader.readexactly(length))
        finally:
            writer.close()
    return Told(int(first.split(" ")[1]), pairs, body)


async def ask(
    port: int,
    method: str,
    path: str,
    *,
    host: str = "",
    bearer: str | None = None,
    body: bytes | None = None,
    document: object = ...,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    address: str = "127.0.0.1",
) -> Told:
    """One request. `document` is sent as JSON; `address` is ours, out of 127.0.0.0/8."""
    if document is not ...:
        body = orjson.dumps(document)
    fields = [("Host", host or f"127.0.0.1:{port}"), ("Connection", "close")]
    if bearer is not None:
        fields.append(("Authorization", f"Bearer {bearer}"))
    if body is not None:
        fields.append(("Content-Length", str(len(body))))
        fields.append(("Content-Type", "application/json"))
    fields += list(headers.items() if isinstance(headers, Mapping) else headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    sent = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("utf-8", "surrogateescape")
    return await raw(port, sent + (body or b""), method=method, address=address)
