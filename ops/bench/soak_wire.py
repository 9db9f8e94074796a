"""HTTP as the clients of `make soak` speak it: a request out, a whole answer in.

Refuses answers that break off: they raise EOFError.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

SLOW_PIECE: Final = 16_384


class LeftError(Exception):
    """The client went away, as it had meant to."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    fields: dict[str, str]

    @property
    def tokens(self) -> int | None:
        """What the client was told that it costs."""
        text = self.fields.get("x-usage-tokens")
        return None if text is None else int(text)


def request_of(method: str, host: str, path: str, body: bytes, lines: dict[str, str]) -> bytes:
    """A request with its length."""
    more = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    length = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\n{more}{length}\r\n"
    return head.encode() + body


def fields_of(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields, names in lower case."""
    lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return int(lines[0][9:12]), {name.lower(): value.strip() for name, value in pairs}


async def read_answer(reader: asyncio.StreamReader, pause_s: float = 0.0) -> Answer:
    """A whole answer, its trailers among its fields; with a pause behind each piece."""
    status, fields = fields_of(await reader.readuntil(b"\r\n\r\n"))
    if fields.get("transfer-encoding") != "chunked":
        await _drop(reader, int(fields.get("content-length", "0")), pause_s)
        return Answer(status, fields)
    while size := int(await reader.readline(), 16):
        await _drop(reader, size + 2, pause_s)
    while (line := await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    return Answer(status, fields)


async def _drop(reader: asyncio.StreamReader, size: int, pause_s: float) -> None:
    while size:
        piece = await reader.read(min(size, SLOW_PIECE if pause_s else 2**18))
        if not piece:
            raise EOFError("the answer broke off")
        size -= len(piece)
        if pause_s:
            await asyncio.sleep(pause_s)
