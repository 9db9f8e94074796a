"""A page on loopback for the first three commands, because the machine may have no internet.

Serves `/` (an article) and `/nothing` (hangs up without an answer); refuses everything else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ARTICLE = """<!doctype html>
<html lang="en"><head><title>How a sluice works</title></head><body>
<nav><a href="/">Start</a> <a href="/nothing">A page that fails</a></nav>
<article>
<h1>How a sluice works</h1>
<p>A sluice is a gate that lets a measured flow through. Millers built the first ones to lead
just as much of a river to the wheel as the wheel could use, and to let the rest pass by.</p>
<h2>Measure first, then open</h2>
<p>The keeper of a sluice knows two numbers: how much water may pass in a minute, and how much has
passed in the last one. Whoever asks for more than is left waits, and is told for how long.</p>
<ul><li>What was asked for is held back before the gate opens.</li>
<li>What really flowed is written down before the last drop has passed.</li>
<li>What did not flow is given back.</li></ul>
<h2>Why the book comes before the last drop</h2>
<p>A keeper who writes only in the evening forgets what a storm took away at noon. So the book is
written while the gate is still open, and <a href="/nothing">a flow that fails</a> costs nothing.
In the morning the book and the river are compared, and there must be no difference.</p>
</article></body></html>
"""
_DEADLINE_S = 10.0


class DemoPage:
    """The two pages on 127.0.0.1 at a port that was free."""

    def __init__(self, port: int) -> None:
        self.origin = f"http://127.0.0.1:{port}"
        self._port = port

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Answer until the end; raises OSError when the port has been taken meanwhile."""
        server = await asyncio.start_server(_answer, "127.0.0.1", self._port)
        try:
            yield
        finally:
            server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_DEADLINE_S):
                head = await reader.readuntil(b"\r\n\r\n")
                reply = _reply(([*head.split(b" ", 2), b""])[1])
                writer.write(reply)
                await writer.drain()
    finally:
        writer.close()


def _reply(path: bytes) -> bytes:
    if path.startswith(b"/nothing"):
        return b""
    status, body = ("200 OK", _ARTICLE) if path == b"/" else ("404 Not Found", "Not here\n")
    raw = body.encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
        f"Content-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + raw
