"""The clients of `make soak`: what they ask for, at fixed times, and what each of them saw.

Every kind of request that the product knows, good ones and bad ones, in fixed shares. Each answer
that could cost something goes into the journal with what the client was told. Refuses to be slowed
down by answers: who is due is due (open loop), and latencies count from then.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TextIO

import orjson

from gateway.keys.format import RANDOM_BYTES, make_key
from ops.bench.soak_wire import SLOW_PIECE, Answer, LeftError, fields_of, read_answer, request_of

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Target = tuple[str, str, dict[str, object]]
# Longer than any answer of the services.
PATIENCE_S: Final = 60.0
_ADDRESSES: Final = 1_000
_STRANGERS: Final = 1_000
_MOST_KEPT: Final = 32
SHARES: Final = {
    "whole": 52.0,
    "big": 4.0,
    "slow reader": 1.0,
    "short stream": 7.0,
    "long stream": 0.4,
    "leaves before the answer": 2.0,
    "leaves midway": 2.0,
    "service fails": 1.5,
    "service breaks off": 1.0,
    "service refuses": 1.5,
    "no key": 6.0,
    "unknown key": 2.0,
    "limited key": 3.0,
    "poor key": 2.0,
    "no such path": 1.0,
    "asks twice": 2.0,
    "price": 3.0,
    "balance": 3.0,
    "mints": 0.5,
    "page": 1.0,
}
# Host, path, and what a body has beside its model.
_WHOLE: Final[tuple[Target, ...]] = (
    ("api", "/v1/embeddings", {"input": ["some words"] * 20}),
    ("api", "/v1/rerank", {"query": "words", "documents": ["some words"] * 10}),
    ("api", "/v1/classify", {"input": ["some words"] * 10, "labels": ["a", "b"]}),
    ("api", "/v1/segment", {"content": "some words " * 20}),
    ("s", "/", {"q": "some words"}),
    ("r", "/", {"url": "https://example.com/a"}),
)
_CHAT: Final[Target] = (
    "deepsearch",
    "/v1/chat/completions",
    {"stream": True, "budget_tokens": 2_000},
)
_FAILING: Final[Target] = ("api", "/v1/classify", {"input": ["some words"], "classifier_id": "c"})


@dataclass(frozen=True, slots=True)
class Keys:
    """Who asks: `rich` pay, `limited` may ask seldom, `poor` has nothing."""

    rich: tuple[str, ...]
    limited: str
    poor: str


@dataclass
class Seen:
    """What all clients saw; `latencies_s` of small whole answers since they were last taken.

    `nameless`: clients that left a stream, or gave up, before they had read its name.
    """

    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    nameless: int = 0


class Clients:
    """Asks `once` per due time; the journal gets "<request id> <told> <tokens>" per line."""

    def __init__(self, port: int, keys: Keys, journal: TextIO, seed: int) -> None:
        self.seen = Seen()
        self.open: set[asyncio.Task[None]] = set()
        self._port = port
        self._keys = keys
        self._journal = journal
        self._chance = random.Random(seed)
        self._kept: list[Streams] = []
        # Not a new one each time: a cache that fills up to its bound would look like a leak.
        self._strangers = [make_key(os.urandom(RANDOM_BYTES), "sluice_") for _ in range(_STRANGERS)]
        self._names, self._weights = list(SHARES), list(SHARES.values())
        self._deeds: dict[str, Callable[[float], Awaitable[object]]] = {
            "whole": self._whole,
            "big": lambda _: self._pays(("api", "/v1/embeddings", {"input": "x"}), "big"),
            "slow reader": self._slow,
            "short stream": lambda _: self._pays(_CHAT, "short"),
            "long stream": lambda _: self._pays(_CHAT, "long"),
            "leaves before the answer": lambda _: self._leaves("stall", 0.1),
            "leaves midway": lambda _: self._leaves("short", 0.2),
            "service fails": lambda _: self._free(_FAILING, "fail", self._rich(), {502, 503}),
            "service breaks off": lambda _: self._free(_FAILING, "cut", self._rich(), {502, 503}),
            "service refuses": lambda _: self._free(_FAILING, "refuse", self._rich(), {422, 503}),
            "no key": self._anonymous,
            "unknown key": lambda _: self._free(
                _WHOLE[0], "whole", self._chance.choice(self._strangers), {401}
            ),
            "limited key": self._limited,
            "poor key": lambda _: self._free(_WHOLE[0], "whole", self._keys.poor, {402}),
            "no such path": lambda _: self._free(("api", "/v1/nothing", {}), "", None, {404}),
            "asks twice": self._twice,
            "price": lambda _: self._control("POST", "/v1/price", _price()),
            "balance": lambda _: self._control("GET", "/v1/keys/me", None),
            "mints": lambda _: self._control("POST", "/v1/keys", {}),
            "page": lambda _: self._control("GET", "/", None, host="localhost"),
        }

    def start(self, due_s: float) -> None:
        """One client does what is next."""
        kind = self._chance.choices(self._names, self._weights)[0]
        task = asyncio.create_task(self._do(kind, due_s))
        self.open.add(task)
        task.add_done_callback(self.open.discard)

    async def _do(self, kind: str, due_s: float) -> None:
        self.seen.asked[kind] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._deeds[kind](due_s)
        except LeftError:
            pass
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.seen.unexpected[f"{kind}: {type(error).__name__} {error}"[:100]] += 1
            self.seen.nameless += 1
            return
        self.seen.answered[kind] += 1

    def close(self) -> None:
        """Hang up whatever is kept."""
        for _, writer in self._kept:
            writer.close()

    def _rich(self) -> str:
        return self._chance.choice(self._keys.rich)

    async def _whole(self, due_s: float) -> None:
        host, path, fields = self._chance.choice(_WHOLE)
        await self._pays((host, path, dict(fields)), "whole")
        self.seen.latencies_s.append(time.perf_counter() - due_s)

    async def _pays(self, target: Target, model: str, **lines: str) -> Answer:
        answer = await self._ask(target, model, self._rich(), **lines)
        self._note(answer, "whole" if answer.status == 200 else "free")
        self._expect(f"{target[1]} {model}", answer, {200})
        return answer

    async def _free(self, target: Target, model: str, key: str | None, right: set[int]) -> None:
        answer = await self._ask(target, model, key)
        self._note(answer, "free")
        self._expect(f"{target[1]} {model}", answer, right)

    async def _limited(self, _due_s: float) -> None:
        answer = await self._ask(_WHOLE[0], "whole", self._keys.limited)
        self._note(answer, "whole" if answer.status == 200 else "free")
        self._expect("limited key", answer, {200, 429})

    async def _anonymous(self, _due_s: float) -> None:
        number = self._chance.randrange(_ADDRESSES)
        address = f"10.1.{number // 250}.{number % 250 + 1}"
        answer = await self._ask(_WHOLE[5], "whole", None, **{"x-forwarded-for": address})
        self._expect("no key", answer, {200, 429})

    async def _twice(self, _due_s: float) -> None:
        name, key = f'"{os.urandom(12).hex()}"', self._rich()
        lines = {"idempotency-key": name}
        first = await self._ask(_WHOLE[0], "whole", key, **lines)
        self._note(first, "whole" if first.status == 200 else "free")
        self._expect("asks", first, {200})
        again = await self._ask(_WHOLE[0], "whole", key, **lines)
        self._expect("asks again", again, {200})
        if first.status == again.status == 200 and first.tokens != again.tokens:
            self.seen.unexpected["asks again: another price"] += 1

    async def _control(
        self, method: str, path: str, body: dict[str, object] | None, host: str = "api.localhost"
    ) -> None:
        streams = await self._connection()
        text = b"" if body is None else orjson.dumps(body)
        lines = {"authorization": f"Bearer {self._rich()}"} if path != "/v1/keys" else {}
        streams[1].write(request_of(method, host, path, text, lines))
        answer = await self._receive(streams)
        self._expect(f"{method} {path}", answer, {200, 201})

    async def _slow(self, _due_s: float) -> None:
        streams = await asyncio.open_connection("127.0.0.1", self._port, limit=SLOW_PIECE)
        try:
            streams[1].write(self._product(("api", "/v1/embeddings", {}), "big", self._rich()))
            answer = await read_answer(streams[0], pause_s=0.01)
        finally:
            streams[1].close()
        self._note(answer, "whole" if answer.status == 200 else "free")
        self._expect("slow reader", answer, {200})

    async def _leaves(self, model: str, after_s: float) -> None:
        target: Target = _CHAT if model == "short" else ("api", "/v1/embeddings", {})
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        name = ""
        try:
            writer.write(self._product(target, model, self._rich()))
            with suppress(TimeoutError):
                async with asyncio.timeout(after_s):
                    head = fields_of(await reader.readuntil(b"\r\n\r\n"))[1]
                    name = head.get("x-request-id", "")
                    await reader.read(-1)
            raise LeftError
        finally:
            writer.transport.abort()
            if name:
                self._journal.write(f"{name} left 0\n")
            elif model == "short":
                self.seen.nameless += 1

    async def _ask(self, target: Target, model: str, key: str | None, **lines: str) -> Answer:
        streams = await self._connection()
        streams[1].write(self._product(target, model, key, **lines))
        return await self._receive(streams)

    def _product(self, target: Target, model: str, key: str | None, **lines: str) -> bytes:
        host, path, fields = target
        if key is not None:
            lines["authorization"] = f"Bearer {key}"
        body: dict[str, object] = {"model": model, **fields}
        if path == _CHAT[1]:
            body["messages"] = [{"role": "user", "content": "some words"}]
        return request_of("POST", f"{host}.localhost", path, orjson.dumps(body), lines)

    async def _connection(self) -> Streams:
        while self._kept:
            reader, writer = self._kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)

    async def _receive(self, streams: Streams) -> Answer:
        answer = None
        try:
            answer = await read_answer(streams[0])
            return answer
        finally:
            good = answer is not None and answer.fields.get("connection") != "close"
            # More would be kept for ever after each new peak, and look like a leak over there.
            if good and len(self._kept) < _MOST_KEPT:
                self._kept.append(streams)
            else:
                streams[1].close()

    def _note(self, answer: Answer, told: str) -> None:
        name = answer.fields.get("x-request-id")
        if name is not None:
            self._journal.write(f"{name} {told} {answer.tokens or 0}\n")

    def _expect(self, what: str, answer: Answer, right: set[int]) -> None:
        if answer.status not in right:
            self.seen.unexpected[f"{what}: status {answer.status}"] += 1


def _price() -> dict[str, object]:
    return {"product": "embeddings", "body": {"model": "m", "input": "some words"}}


def _unknown() -> str:
    return make_key(os.urandom(RANDOM_BYTES), "sluice_")
