"""The few words of PostgreSQL's and Redis' protocols that a supervisor and a doctor need.

Refuses passwords and encryption: those belong to the real clients. Every call is bounded.
"""

import asyncio
import struct
from dataclasses import dataclass
from pathlib import Path

_PROTOCOL_3 = 196_608
Row = tuple[str | None, ...]


class PostgresError(Exception):
    """PostgreSQL answered with an error; `code` is its SQLSTATE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code


async def postgres_query(
    socket: Path, database: str, sql: str, *, user: str = "postgres", deadline_s: float = 5.0
) -> list[Row]:
    """Rows of one simple query over a unix socket that trusts us.

    Raises PostgresError, or OSError (also a TimeoutError) when nothing sensible answers.
    """
    async with asyncio.timeout(deadline_s):
        reader, writer = await asyncio.open_unix_connection(str(socket))
        try:
            words = ("user", user, "database", database)
            body = b"".join(word.encode() + b"\0" for word in words) + b"\0"
            writer.write(struct.pack("!ii", len(body) + 8, _PROTOCOL_3) + body)
            await _until_ready(reader)
            text = sql.encode() + b"\0"
            writer.write(b"Q" + struct.pack("!i", len(text) + 4) + text)
            rows = await _until_ready(reader)
            writer.write(b"X" + struct.pack("!i", 4))
        finally:
            writer.close()
    return rows


async def _until_ready(reader: asyncio.StreamReader) -> list[Row]:
    rows: list[Row] = []
    refused: PostgresError | None = None
    while True:
        try:
            kind, length = struct.unpack("!ci", await reader.readexactly(5))
            body = await reader.readexactly(length - 4)
        except asyncio.IncompleteReadError as error:
            raise refused or ConnectionResetError("PostgreSQL hung up") from error
        if kind == b"Z":
            if refused is not None:
                raise refused
            return rows
        if kind == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            refused = PostgresError(fields[b"C"].decode(), fields[b"M"].decode())
        elif kind == b"R" and struct.unpack("!i", body[:4])[0] != 0:
            raise PostgresError("28000", "PostgreSQL wants a password")
        elif kind == b"D":
            rows.append(_row(body))


def _row(body: bytes) -> Row:
    (count,) = struct.unpack_from("!h", body)
    at = 2
    columns: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        if length < 0:
            columns.append(None)
            continue
        columns.append(body[at : at + length].decode())
        at += length
    return tuple(columns)


@dataclass(frozen=True, slots=True)
class RedisRefused:
    """An error reply of Redis."""

    text: str


Reply = str | int | None | RedisRefused | list["Reply"]


async def redis_command(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *words: str
) -> Reply:
    """Send one command and return its reply. Raises OSError when the connection ends."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = word.encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    writer.write(b"".join(parts))
    return await _reply(reader)


async def redis_ping(socket: Path, *, deadline_s: float = 1.0) -> bool:
    """Whether a Redis answers PONG at this socket; False also while it loads."""
    try:
        async with asyncio.timeout(deadline_s):
            reader, writer = await asyncio.open_unix_connection(str(socket))
            try:
                return await redis_command(reader, writer, "PING") == "PONG"
            finally:
                writer.close()
    except OSError:
        return False


async def _reply(reader: asyncio.StreamReader) -> Reply:
    line = await reader.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionResetError("Redis hung up")
    kind, text = line[:1], line[1:-2].decode("utf-8", "replace")
    if kind == b"+":
        return text
    if kind == b"-":
        return RedisRefused(text)
    if kind == b":":
        return int(text)
    if kind == b"*":
        return [await _reply(reader) for _ in range(int(text))]
    if kind == b"$" and int(text) >= 0:
        try:
            return (await reader.readexactly(int(text) + 2))[:-2].decode("utf-8", "replace")
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("Redis hung up") from error
    return None
