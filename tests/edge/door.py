"""A real gateway in a thread of this process, on the event loop that it has in production.

Tests talk to it over sockets; what they must look into or set is reached through `run`.
"""

import asyncio
import itertools
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gateway import app
from gateway.admission.ask import Standing
from gateway.commands.running import run
from gateway.edge.breaker import Breaker
from gateway.errors import RedisUnavailable
from gateway.keys.format import (
    RANDOM_BYTES,
    format_key_id,
    key_hmac,
    key_id_from_random,
    last_characters,
    make_key,
)
from gateway.ledger.rows import BalanceRow, RequestRow
from gateway.settings import load_settings
from tests.edge.client import PATIENCE_S, Lines, Reply, Wire, head

SECRETS = {"key_pepper": "pepper-of-the-tests", "internal_secret": "secret-of-the-tests"}
TRIAL = 10_000_000
API = "api.localhost"
READER = "r.localhost"
SEARCH = "s.localhost"
DEEPSEARCH = "deepsearch.localhost"
T = TypeVar("T")
Limit = Mapping[str, int]
Limits = Mapping[str, Limit]


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return when this holds; fail when it does not come to hold."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + PATIENCE_S
    while not await holds():
        assert loop.time() < end_s, "it did not come to hold"
        await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Key:
    """A key with its id; `bearer` is the header that shows it."""

    text: str
    key_id: int

    @property
    def bearer(self) -> tuple[str, str]:
        """The Authorization header."""
        return ("authorization", f"Bearer {self.text}")

    @property
    def subject(self) -> str:
        """Its name before the limiter."""
        return f"k:{self.key_id}"

    @property
    def public_id(self) -> str:
        """Its id as its owner sees it."""
        return format_key_id(self.key_id)


class Door:
    """A running gateway; `node` is its inside, which belongs to the loop in `run`."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.settings = load_settings(environ)
        self.port = 0
        self.node: app.Node
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._ready = threading.Event()
        self._ended_well = False
        self._thread = threading.Thread(target=self._live, name="gateway")
        # Doors share a Redis: each begins elsewhere, or one would use up another's limit.
        self._addresses = itertools.count(int.from_bytes(os.urandom(3), "big"))

    def start(self) -> None:
        """Return when it listens."""
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the gateway did not start in time"
        assert self._thread.is_alive(), "the gateway did not start"

    def stop(self) -> None:
        """Drain and end; whatever failed in it fails here."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the gateway did not stop"
        assert self._ended_well

    def _live(self) -> None:
        try:
            run(self._main())
            self._ended_well = True
        finally:
            self._ready.set()

    async def _main(self) -> int:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            base = await stack.enter_async_context(app.ground(self.settings, "test"))
            self.node = await stack.enter_async_context(app.node(base, SECRETS))
            sock = app.listening_socket(self.settings.bind, 0)
            self.port = sock.getsockname()[1]
            await stack.enter_async_context(app.listening(self.node, sock))
            self._ready.set()
            await self._stop.wait()
        return 0

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this in the gateway's own loop."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        return await asyncio.wait_for(asyncio.wrap_future(future), PATIENCE_S)

    async def forgive(self) -> None:
        """Hold nothing against the services of the test before."""
        upstreams = self.node.pipeline._parts.forwarder._upstreams
        for pool in upstreams._pools.values():
            pool.breaker = Breaker()

    async def key(
        self, trial: int = TRIAL, paid: int = 0, limits: Limits | None = None, **more: Limit
    ) -> Key:
        """A new key that this gateway knows, with its own limits by product."""
        own = {**(limits or {}), **more}
        text = make_key(os.urandom(RANDOM_BYTES), self.settings.key_prefix)
        key_id = key_id_from_random(os.urandom(8))
        digest = key_hmac(SECRETS["key_pepper"].encode(), text)

        async def mint() -> None:
            book, gate = self.node.ground.book, self.node.ground.gate
            row: object = await book.mint(key_id, digest, last_characters(text), None, trial, 1)
            if paid:
                row = await book.credit(key_id, paid, "paid", f"test {key_id}")
            if own:
                row = await book.set_limits(key_id, {n: dict(v) for n, v in own.items()})
            assert isinstance(row, BalanceRow)
            await gate.put_balance(row)

        await self.run(mint())
        return Key(text, key_id)

    async def has_redis(self) -> None:
        """Until Redis decides again, after it was away."""

        async def decides() -> bool:
            link = self.node.ground.link
            return link.is_up and link.is_trusted

        await until(decides)

    def address(self) -> tuple[str, str]:
        """The header of a client without a key whom nobody has seen before."""
        number = next(self._addresses)
        return ("x-forwarded-for", f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")

    async def wire(self, *, small_window: bool = False) -> Wire:
        """A connection to it."""
        return await Wire.open(self.port, small_window=small_window)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        host: str = API,
        key: Key | None = None,
        body: bytes | None = None,
        headers: Lines = (),
    ) -> Reply:
        """One request on a connection of its own."""
        lines = [("host", host), *([key.bearer] if key is not None else []), *headers]
        if body is not None:
            lines.append(("content-length", str(len(body))))
        async with await self.wire() as wire:
            return await wire.ask(head(method, target, lines) + (body or b""), method=method)

    async def standing(self, subject: str, product: str) -> Standing:
        """What Redis knows of a subject."""
        found = self.node.ground.catalogue.products[product]
        anonymous = found.anonymous or found.key
        key, premium = (found.key, found.premium) if subject[0] == "k" else (anonymous, anonymous)
        return await self.run(self.node.ground.gate.peek(subject, [(product, key, premium)]))

    async def at_rest(self, subject: str, product: str = "embeddings") -> Standing:
        """The same once nothing is held; a hold that stays fails the test."""

        async def rests() -> bool:
            try:
                found = await self.standing(subject, product)
            except RedisUnavailable:
                return False  # it was away, or the machine is busy
            seen.append(found)
            return not found.open_requests and not found.held_tokens

        seen: list[Standing] = []
        await until(rests)
        return seen[-1]

    async def row(self, key: Key, request_id: str) -> RequestRow | None:
        """The ledger's row of a request."""
        return await self.run(self.node.ground.shelf.request(key.key_id, request_id))

    async def rows(self, key: Key) -> list[RequestRow]:
        """All requests of a key in the ledger, the newest first."""
        return await self.run(self.node.ground.shelf.recent(key.key_id, 100))

    async def balance(self, key: Key) -> int:
        """What the ledger says is left."""
        row = await self.run(self.node.ground.book.load_balance(key.key_id))
        assert row is not None
        return row.trial + row.paid


@contextmanager
def running(environ: Mapping[str, str], **more: str) -> Iterator[Door]:
    """A gateway with these settings, until the end of this."""
    door = Door({**environ, **more})
    door.start()
    try:
        yield door
    finally:
        door.stop()


def environment(
    database: str, redis: str, folder: Path, services: Mapping[str, Path | int], **more: str
) -> dict[str, str]:
    """The settings of a gateway for tests; `services` by name: a unix socket or a port."""
    urls = {
        f"SLUICE_SERVICE_{name.upper()}_URL": f"unix:{where}"
        if isinstance(where, Path)
        else f"http://127.0.0.1:{where}"
        for name, where in services.items()
    }
    return {
        "SLUICE_DATABASE_URL": database,
        "SLUICE_REDIS_URL": redis,
        "SLUICE_DATA_DIR": str(folder),
        "SLUICE_PORT": "0",
        "SLUICE_OPS_PORT": "0",
        "SLUICE_TRUSTED_PROXIES": "127.0.0.0/8",
        "SLUICE_KEYS_PER_ADDRESS": "1000",
        **urls,
        **more,
    }
