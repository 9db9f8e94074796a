"""What a fault proxy stands in front of, for its own tests."""

import asyncio

from tests.faults.proxy import Proxy

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Server:
    """Keeps the streams of each connection for the test, both ends; says nothing by itself."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[Streams] = asyncio.Queue()
        self.port = 0
        self._all: list[Streams] = []

    def welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._all.append((reader, writer))
        self.came.put_nowait((reader, writer))

    async def dial(self, proxy: Proxy) -> Streams:
        streams = await asyncio.open_connection("127.0.0.1", proxy.port)
        self._all.append(streams)
        return streams

    async def close(self) -> None:
        for _, writer in self._all:
            writer.transport.abort()
        ends = (writer.wait_closed() for _, writer in self._all)
        await asyncio.gather(*ends, return_exceptions=True)
