"""One HTTP request to our own front door, for the commands; no pool, no redirects, no TLS.

Refuses answers beyond a megabyte: what it asks for is small.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

_MOST_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of an answer."""

    status: int
    body: bytes


async def ask(
    host: str,
    port: int,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    deadline_s: float = 5.0,
) -> Reply:
    """Send one request, a body as JSON. Raises OSError (a TimeoutError too) when none answers."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}:{port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    async with asyncio.timeout(deadline_s):
        reader, writer = await asyncio.open_connection(host, port, limit=_MOST_BYTES)
        try:
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            answer = await _body(reader, head.decode("latin-1").lower())
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
            raise ConnectionResetError(f"no whole answer to {method} {path}") from error
        finally:
            writer.close()
    return Reply(int(head.split(b" ", 2)[1]), answer)


def unanswered(host: str, port: int, error: OSError | ValueError) -> str:
    """The sentence for a call to the operations listener that `ask` had no answer to."""
    if isinstance(error, ValueError):
        return f"what answers on {host} port {port} is no Sluice: see SLUICE_OPS_PORT"
    why = os.strerror(error.errno) if error.errno else str(error) or "not in time"
    advice = "start it, or set SLUICE_OPS_PORT to the port it has"
    return f"nothing answers on {host} port {port} ({why}): {advice}"


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in fields:
        return await reader.readexactly(min(int(fields["content-length"]), _MOST_BYTES))
    if fields.get("transfer-encoding") != "chunked":
        return await reader.read(_MOST_BYTES)
    parts = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        parts.append(await reader.readexactly(min(size, _MOST_BYTES)))
        await reader.readline()
    return b"".join(parts)
