"""The services behind the gateways of the matrix: they answer what the request says, and can hold.

What a request costs stands in it: `tokens` in a JSON body, `tokens=` in a reader's target. A body
or an Accept that asks for a stream gets events, else JSON. `hold` keeps requests at a known point:
read whole and not answered, or with the first events of the answer on their way.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

_FIRST = b'data: {"choices": [{"index": 0, "delta": {"content": "hm"}, "finish_reason": null}]}\n\n'
_READ = b'data: {"content": "the first part of a page"}\n\n'


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that reached a service."""

    at_s: float
    subject: str
    request_id: str
    tokens: int


@dataclass
class Hold:
    """From now on requests stay, until `count` of one gateway are here: then `full` and all go."""

    count: int
    full: Callable[[int], None]
    go: asyncio.Event
    here: dict[int, int]


class Services:
    """All services, one listener for each gateway, so that it is known whose a request is."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.ports: list[int] = []
        self._hold: Hold | None = None
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, places: int) -> None:
        """A listener for each gateway."""
        for place in range(places):
            server = await asyncio.start_server(self._welcome(place), "127.0.0.1", 0)
            self._servers.append(server)
            self.ports.append(server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Nobody is served any more."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self, count: int, full: Callable[[int], None]) -> None:
        """See `Hold`."""
        self._hold = Hold(count, full, asyncio.Event(), {})

    def let_go(self) -> None:
        """Hold nobody."""
        if self._hold is not None:
            self._hold.go.set()
            self._hold = None

    def _welcome(self, place: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(place, reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return welcome

    async def _serve(
        self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while True:
                await self._answer(place, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.transport.abort()

    async def _answer(
        self, place: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(fields.get("content-length") or 0))
        if first.startswith("POST"):
            asked = json.loads(body)
            tokens, streamed = int(asked["tokens"]), bool(asked.get("stream"))
            beginning = _FIRST
        else:
            found = re.search(r"tokens=(\d+)", first)
            assert found is not None, first
            tokens, streamed = int(found[1]), "event-stream" in fields.get("accept", "")
            beginning = _READ
        now_s = asyncio.get_running_loop().time()
        subject, request_id = fields["x-sluice-subject"], fields["x-request-id"]
        self.arrivals.append(Arrival(now_s, subject, request_id, tokens))
        if not streamed:
            await self._stay(place)
            writer.write(_whole(tokens, first))
        else:
            writer.write(_BEGIN + _chunk(beginning))
            await self._stay(place)
            writer.write(_chunk(_last(tokens, first)) + b"0\r\n\r\n")
        await writer.drain()

    async def _stay(self, place: int) -> None:
        hold = self._hold
        if hold is None:
            return
        hold.here[place] = hold.here.get(place, 0) + 1
        if hold.here[place] == hold.count:
            self._hold = None
            # What was written of a stream is on its way before the fault comes.
            await asyncio.sleep(0)
            hold.full(place)
            hold.go.set()
        await hold.go.wait()


_BEGIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _whole(tokens: int, first: str) -> bytes:
    usage = {"tokens": tokens} if first.startswith("GET") else {"total_tokens": tokens}
    document: dict[str, object] = {"data": [{"content": "x" * 50}], "usage": usage}
    if first.startswith("GET"):
        document = {"code": 200, "status": 20000, "data": {"content": "x" * 50, "usage": usage}}
    text = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(text)}"
    return f"{head}\r\nx-usage-tokens: {tokens}\r\n\r\n".encode() + text


def _last(tokens: int, first: str) -> bytes:
    if first.startswith("GET"):
        return b'data: {"content": "the whole page", "usage": {"tokens": %d}}\n\n' % tokens
    return (
        b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], '
        b'"usage": {"total_tokens": %d}}\n\n' % tokens
    )
