"""A unix socket in front of a server's, so that one gateway's line to it can be cut and mended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class Line:
    """Forwards bytes between `here` and `there` while it is whole."""

    def __init__(self, here: Path, there: Path) -> None:
        self._here = here
        self._there = there
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def mend(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_unix_server(self._serve, self._here)

    async def cut(self) -> None:
        """End all connections and take no more, as a server that is down."""
        assert self._server is not None
        self._server.close()
        self._here.unlink(missing_ok=True)
        for writer in tuple(self._open):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        far_reader, far_writer = await asyncio.open_unix_connection(self._there)
        self._open |= {writer, far_writer}
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._open -= {writer, far_writer}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    if not writer.is_closing():
        writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def line(here: Path, there: Path) -> AsyncIterator[Line]:
    """A whole line until the end of this."""
    made = Line(here, there)
    await made.mend()
    try:
        yield made
    finally:
        await made.cut()
