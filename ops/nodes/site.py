"""The whole site: three gateway nodes, six Redis, two PostgreSQL and a service, all machines."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.keys.format import RANDOM_BYTES, key_id_from_random, make_key
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.postgres import Postgres
from gateway.sql import load_queries
from ops.nodes import pair, shards
from ops.nodes.crowd import GATEWAY_PORT, OPS_PORT, Crowd, fetch
from ops.nodes.net import SUBNET, Net, Place, run
from ops.nodes.packages import ROOT, RedisProgram
from ops.nodes.programs import Program, start

NODES = 3
STUB_PORT = 9_000
GRANT = 10_000_000
PLENTY = 10**12
_PEPPER = "the-pepper-of-many-nodes"
_SECRET = "the-secret-of-many-nodes"  # noqa: S105 - of a throw-away installation
_READY_S = 120.0
_OK = '"status":"ok"'


@dataclass
class Node:
    """A gateway machine: `serve` and a `worker`, its spool on its own disk."""

    place: Place
    folder: Path
    code: Path
    serve: Program | None = None
    worker: Program | None = None

    @property
    def spools(self) -> list[Path]:
        """Spools on its disk."""
        root = self.folder / "spool"
        return sorted(p for p in root.iterdir() if p.is_dir()) if root.exists() else []


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its text."""

    key_id: int
    text: str


@dataclass
class Site:
    """Everything that stands."""

    net: Net
    folder: Path
    nodes: list[Node]
    redis: shards.Shards
    primary: pair.Server
    standby: pair.Server
    service: Place
    crowd: Crowd
    book: Book
    postgres: Postgres
    keys: KeyStore
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def dsn(self) -> str:
        """What gateways and workers are given."""
        return pair.dsn_of((self.primary, self.standby))

    async def start_node(self, node: Node, *, code: Path | None = None) -> None:
        """Its gateways and its worker; returns when it is ready."""
        node.code = code or node.code
        node.serve = await self._start(node, "serve")
        node.worker = await self._start(node, "worker")
        await self.until_ready(node)

    async def restart_worker(self, node: Node) -> None:
        """As at an upgrade: the worker of a machine is replaced."""
        if node.worker is not None:
            await node.worker.stop()
        node.worker = await self._start(node, "worker")

    async def until_ready(self, node: Node, within_s: float = _READY_S) -> None:
        """Until its /ready says 200."""
        async with asyncio.timeout(within_s):
            while (await fetch(node.place, "/ready"))[0] != 200:
                assert node.serve is not None
                assert node.serve.alive, node.serve.words()
                await asyncio.sleep(0.05)

    async def until_all_ok(self, within_s: float = 60.0) -> None:
        """Until no node says that it is degraded; raises TimeoutError with what they say."""
        end_s, told = time.monotonic() + within_s, dict[str, str]()
        while True:
            for node in self.nodes:
                status, body = await fetch(node.place, "/ready")
                told[node.place.name] = f"{status} {body.replace(': ', ':')}"
            if all(text.startswith("200") and _OK in text for text in told.values()):
                return
            if time.monotonic() > end_s:
                raise TimeoutError(f"not ok after {within_s:.0f} s: {told}")
            await asyncio.sleep(0.05)

    async def stop_node(self, node: Node) -> list[int]:
        """SIGTERM to both; their exit codes."""
        assert node.serve is not None
        assert node.worker is not None
        return list(await asyncio.gather(node.serve.stop(), node.worker.stop()))

    async def kill_node(self, node: Node) -> None:
        """Its machine loses its power."""
        assert node.serve is not None
        assert node.worker is not None
        await asyncio.gather(node.serve.kill(), node.worker.kill())

    async def mint(self, tokens: int = GRANT, **limits: int) -> Key:
        """A key with these limits for embeddings, or none that bind."""
        text = make_key(os.urandom(RANDOM_BYTES), "sluice_")
        key_id = key_id_from_random(os.urandom(8))
        made = await self.book.mint(key_id, self.keys.hash(text), text[-4:], None, tokens, 0)
        assert isinstance(made, BalanceRow)
        wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
        await self.book.set_limits(key_id, {"embeddings": {**wide, **limits}})
        return Key(key_id, text)

    async def _start(self, node: Node, word: str) -> Program:
        settings = {
            "DATABASE_URL": self.dsn,
            "REDIS_URL": self.redis.url if node.code == ROOT else self.redis.one_url,
            "DATA_DIR": str(node.folder),
            "NODE": node.place.name,
            "BIND": node.place.ip,
            "PORT": str(GATEWAY_PORT),
            "OPS_BIND": node.place.ip,
            "OPS_PORT": str(OPS_PORT),
            "WORKERS": "1",
            "KEY_PEPPER": _PEPPER,
            "INTERNAL_SECRET": _SECRET,
            "ADMIN_TOKEN": _SECRET,
            "TRUSTED_PROXIES": SUBNET,
            "SERVICE_EMBEDDINGS_URL": f"http://{self.service.ip}:{STUB_PORT}",
            "SERVICE_READER_URL": f"http://{self.service.ip}:{STUB_PORT}",
            "LAME_DUCK_MS": "1000",
            "DRAIN_MS": "15000",
            "CANARY_EVERY_MS": "0",
        }
        if node.code != ROOT:
            # Before local money a version refused what a starved machine answered late.
            settings["REDIS_DEADLINE_MS"] = "2000"
        own = {f"SLUICE_{name}": text for name, text in settings.items()}
        return await start(
            f"{node.place.name}-{word}",
            node.place,
            [sys.executable, "-m", "gateway", word],
            node.folder / f"{word}.log",
            environment={**self.environment, **own, "PYTHONPATH": str(node.code)},
            cwd=node.code,
        )


@asynccontextmanager
async def site(folder: Path, redis: RedisProgram, code: Path) -> AsyncIterator[Site]:
    """Everything but the gateways stands, the database has the schema of `code`."""
    net = Net()
    await net.begin()
    gates = [await net.add(f"gateway{n}", n) for n in range(1, NODES + 1)]
    servers = [await net.add(f"redis{n}", 10 + n) for n in range(1, 2 * shards.SHARDS + 1)]
    one, two = [await net.add(f"postgres{n}", 20 + n) for n in (1, 2)]
    service = await net.add("service", 41)
    cluster = shards.Shards(redis, folder / "redis", servers)
    primary, standby = pair.Server(one, folder / one.name), pair.Server(two, folder / two.name)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    await asyncio.gather(cluster.begin(), _pair(primary, standby))
    await start(
        "service",
        service,
        [sys.executable, "-m", "ops.nodes.stub", service.ip, str(STUB_PORT)],
        folder / "service.log",
        environment=environment,
        cwd=ROOT,
    )
    nodes = [Node(place, folder / place.name, code) for place in gates]
    postgres = Postgres(pair.dsn_of((primary, standby)), command_deadline_ms=5_000)
    book = Book(postgres, load_queries())
    crowd = Crowd(gates)
    keys = KeyStore(book, _PEPPER.encode(), "sluice_")
    standing = Site(
        net, folder, nodes, cluster, primary, standby, service, crowd, book, postgres, keys
    )
    standing.environment = environment
    await migrate(standing, code, "all")
    watching = asyncio.create_task(crowd.watch())
    try:
        yield standing
    finally:
        watching.cancel()
        crowd.hang_up()
        await postgres.close()


async def _pair(primary: pair.Server, standby: pair.Server) -> None:
    await primary.make()
    await primary.start()
    await primary.value(f"create database {pair.DATABASE}", database="postgres")
    await standby.copy(primary)
    await standby.start()
    await primary.commits_on(standby.place)


async def migrate(standing: Site, code: Path, phase: str) -> str:
    """`sluice migrate` of a version; what it said."""
    settings = {"SLUICE_DATABASE_URL": standing.dsn, "PYTHONPATH": str(code)}
    words = [f"{name}={text}" for name, text in settings.items()]
    command = f"cd {code} && exec {sys.executable} -m gateway migrate --phase {phase}"
    return await run("env", *words, "sh", "-c", command)
