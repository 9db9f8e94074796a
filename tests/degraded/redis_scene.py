"""Gateways in this process with a Redis that may be killed, frozen, wiped, slowed or cut off.

PostgreSQL is the run's; each gateway has a line of its own to Redis, a proxy of the fault matrix.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.embedded.faults import ServerDied
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from gateway.keys.format import (
    RANDOM_BYTES,
    format_key_id,
    key_hmac,
    key_id_from_random,
    make_key,
)
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.sql import load_queries
from tests.control.plain_http import Told
from tests.control.rig import COST_TOKENS, PEPPER, Door, gateway, settings_for, until
from tests.control.test_transfer import number
from tests.faults.proxy import Proxy

PAGE = "/https://a.example/"


@dataclass(frozen=True)
class Node:
    """One gateway and its line to Redis."""

    door: Door
    line: Proxy

    async def read(self, key: str | None = None, **how: Any) -> Told:
        """One request to the reader, which costs a key COST_TOKENS."""
        return await self.door.ask("GET", PAGE, host="r.localhost", bearer=key, **how)

    @property
    def trusts(self) -> bool:
        """Whether Redis decides here."""
        link = self.door.node.ground.link
        return link.is_up and link.is_trusted

    def counted(self, kind: str) -> float:
        """Degraded decisions of this kind."""
        return self.door.node.ground.telemetry.degraded.labels(kind).value

    async def has_redis(self) -> None:
        """Until Redis decides again; by itself, within 10 s of the fault's end."""

        async def trusts() -> bool:
            return self.trusts

        await until(trusts, within_s=60)

    async def limits(self, key_id: str, **limits: int) -> None:
        """Own limits of a key for the reader, in the ledger and in Redis."""
        told = await self.door.ops(
            "PUT", f"/admin/keys/{key_id}/limits", document={"reader": limits}
        )
        assert told.status in (200, 202), told


@dataclass
class Scene:
    """The servers of one test."""

    folder: Path
    database: str
    redis: RedisServer
    service: str
    nodes: list[Node] = field(default_factory=list)

    @asynccontextmanager
    async def node(self, name: str = "house", **more: str) -> AsyncIterator[Node]:
        """A gateway; each `name` is a machine of its own."""
        async with AsyncExitStack() as stack:
            line = await stack.enter_async_context(Proxy(self.redis.socket))
            ours = {"CANARY_EVERY_MS": "0", "REDIS_DEADLINE_MS": "500", **more}
            url = f"redis://127.0.0.1:{line.port}"
            settings = settings_for(self.folder / name, self.database, url, self.service, ours)
            door = await stack.enter_async_context(gateway(settings))
            self.nodes.append(Node(door, line))
            yield self.nodes[-1]

    async def tell_redis(self, *words: str) -> Any:
        """One command, past all proxies."""
        return await tell(self.redis, *words)

    async def kill_redis(self) -> None:
        """kill -9."""
        os.kill(self.redis.pid, signal.SIGKILL)
        await self.redis.wait_dead()

    async def rests(self, *nodes: Node) -> None:
        """Nothing is held, everything is posted."""

        async def nothing_left() -> bool:
            held = [await self.tell_redis("KEYS", pattern) for pattern in ("{s*}h:*", "{s*}d")]
            return held == [[], []] and all(
                not node.door.node.spool.depth and node.door.node.meter.is_idle for node in nodes
            )

        await until(nothing_left, within_s=60)

    async def proof(self, node: Node) -> dict[str, int]:
        """What the reconciliation finds, the copies in Redis included."""
        base = node.door.node.ground
        reconciler = Reconciler(base.postgres, load_queries())
        checks = await reconciler.run()
        checks.append(await reconciler.compare_copies(await base.gate.copies()))
        return {check.name: check.differences for check in checks if check.differences}


@asynccontextmanager
async def own_redis() -> AsyncIterator[RedisServer]:
    """A Redis of the test's own; however it was left, it ends."""
    with tempfile.TemporaryDirectory(prefix="sluice-gone-") as folder:
        server = RedisServer(Path(folder))
        await server.start()
        try:
            yield server
        finally:
            with suppress(ProcessLookupError, AssertionError, ServerDied):
                os.kill(server.pid, signal.SIGCONT)
            await server.stop()


async def mint(node: Node, tokens: int) -> dict[str, Any]:
    """A key with so many tokens."""
    base = node.door.node.ground
    text = make_key(os.urandom(RANDOM_BYTES), base.settings.key_prefix)
    key_id, digest = key_id_from_random(os.urandom(8)), key_hmac(PEPPER.encode(), text)
    row = await base.book.mint(key_id, digest, text[-4:], None, tokens, 0)
    assert isinstance(row, BalanceRow)
    shown = format_key_id(key_id)
    return {"api_key": text, "key_id": shown, "balance": {"total": tokens}}


async def tell(server: RedisServer, *words: str) -> Any:
    """One command to a server."""
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    try:
        return await redis_command(reader, writer, *words)
    finally:
        writer.close()
        await writer.wait_closed()


async def taken(node: Node, key: Mapping[str, Any]) -> int:
    """Tokens that the ledger has taken from a fresh key."""
    row = await node.door.node.ground.book.load_balance(number(dict(key)))
    assert row is not None
    return int(key["balance"]["total"]) - row.trial - row.paid


def cost_of(answers: list[Told]) -> int:
    """What the client was told to have paid, in all."""
    for told in answers:
        assert int(told["x-usage-tokens"]) == (COST_TOKENS if told.status == 200 else 0), told
    return sum(int(told["x-usage-tokens"]) for told in answers)
