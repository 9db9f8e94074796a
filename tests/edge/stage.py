"""A stream of deepsearch that the test plays: its service says what, and when, the test says."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson

from tests.edge.client import Reply, Wire, head
from tests.edge.door import DEEPSEARCH, Door, Key, until
from tests.edge.stub import SSE, Stub, Turn

BLOCK = 50_000
ASK = b'{"messages": [{"role": "user", "content": "x"}], "stream": true}'
THINK = b'data: {"choices": [{"index": 0, "delta": {"content": "hm"}, "finish_reason": null}]}\n\n'


def runs(tokens: int) -> bytes:
    return b": usage %d\n\n" % tokens


def final(tokens: int) -> bytes:
    return (
        b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}], '
        b'"usage": {"total_tokens": %d}}\n\n' % tokens
    )


def ask(key: Key, body: bytes = ASK, *more: tuple[str, str]) -> bytes:
    lines = [("host", DEEPSEARCH), key.bearer, ("content-length", str(len(body))), *more]
    return head("POST", "/v1/chat/completions", lines) + body


class Stage:
    """One stream: the test says what its service sends, and when."""

    def __init__(self, door: Door, key: Key, stub: Stub) -> None:
        self.door = door
        self.key = key
        self.hung_up = asyncio.Event()
        self.wire: Wire
        self._ready: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        stub.script = self._script

    async def _script(self, turn: Turn) -> None:
        await turn.begin(kind=SSE)
        if not self._ready.done():
            self._ready.set_result(turn)
        left = asyncio.create_task(turn.hung_up(60))
        over = asyncio.create_task(self._over.wait())
        await asyncio.wait((left, over), return_when=asyncio.FIRST_COMPLETED)
        if left.done():
            self.hung_up.set()
        left.cancel()
        over.cancel()
        await asyncio.wait((left, over))

    async def begin(self, body: bytes = ASK, more: tuple[str, str] | None = None) -> Turn:
        self.wire = await self.door.wire()
        await self.wire.send(ask(self.key, body, *([more] if more else [])))
        return await self._ready

    async def sees(self, tokens: int) -> None:
        """The client has got the event after this much was used."""
        turn = await self._ready
        await turn.chunk(runs(tokens) + THINK)
        await self.wire.reader.readuntil(THINK.strip())

    async def holds(self, tokens: int) -> None:
        """Redis comes to hold exactly this for the key."""
        await until(self._is_held(tokens))

    def _is_held(self, tokens: int) -> Callable[[], Awaitable[bool]]:
        async def held() -> bool:
            standing = await self.door.standing(self.key.subject, "deepsearch")
            return standing.held_tokens == tokens

        return held

    async def finish(self, *pieces: bytes) -> None:
        turn = await self._ready
        for piece in pieces:
            await turn.chunk(piece)
        await turn.end()
        self._over.set()


def last_event(reply: Reply) -> dict[str, object]:
    data = reply.body.strip().rpartition(b"\n\n")[2].strip()
    found = orjson.loads(data.removeprefix(b"data: "))
    assert isinstance(found, dict)
    return found


async def ended(stage: Stage) -> Reply:
    """The rest of the stream, which the gateway ends by itself."""
    found = Reply(200, [("transfer-encoding", "chunked")])
    text = await asyncio.wait_for(stage.wire.reader.readuntil(b"\r\n0\r\n"), 30)
    found.body = text.rpartition(b"data: ")[2].partition(b"\n\n")[0]
    while line := await stage.wire.line():
        name, _, value = line.decode().partition(":")
        found.trailers.append((name, value.strip()))
    return found
