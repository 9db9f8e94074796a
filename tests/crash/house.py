"""A household whose members can be killed: gateways, a worker, and looks into both stores."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import app
from gateway.admission.gate import Gate
from gateway.commands.ports import any_free
from gateway.errors import PostgresUnavailable, RedisUnavailable
from gateway.keys.format import RANDOM_BYTES, key_id_from_random, make_key
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.rows import BalanceRow
from gateway.metering.spool_files import Position, SpoolDamaged, read_frames
from gateway.postgres import Postgres
from gateway.redis_link import RedisLink
from gateway.sql import load_queries
from tests.crash.client import Client
from tests.embedded.processes import ROOT

PEPPER = "the-pepper-of-the-crash-tests"
GRANT = 10_000_000
READY_S = 90.0
HEALED_S = 90.0
_POLL_S = 0.02

_OUTCOMES = """
select o.request_id::text, o.kind, o.outcome, o.cost_tokens, o.instance, o.key_id,
    coalesce((select sum(t.tokens) from transfer t where t.kind = 'undelivered'
        and t.ref in (o.request_id || '/trial', o.request_id || '/paid')), 0)::bigint as back
from outcome o
"""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and its text."""

    key_id: int
    text: str

    @property
    def subject(self) -> str:
        return f"k:{self.key_id}"


@dataclass(frozen=True, slots=True)
class Posted:
    """One request as the ledger has it; `back` was given back."""

    request_id: str
    kind: str
    outcome: str
    cost_tokens: int
    instance: str
    key_id: int
    back: int


class House:
    """Processes on one PostgreSQL and one Redis; `dsn` and `redis_url` are fixed."""

    def __init__(self, folder: Path, dsn: str, redis_url: str, service: str) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.port = any_free("127.0.0.1")
        # Of who was started last.
        self.ops_port = 0
        # Bound and never listening, so that no other test takes it before a gateway does.
        self._place = app.listening_socket("127.0.0.1", self.port)
        self.postgres = Postgres(dsn, command_deadline_ms=5_000)
        self.book = Book(self.postgres, load_queries())
        self._keys = KeyStore(self.book, PEPPER.encode(), "sluice_")
        self._everybody: list[subprocess.Popen[bytes]] = []
        self.gateways: list[subprocess.Popen[bytes]] = []
        self._workers = 0
        settings = {
            "DATA_DIR": str(folder),
            "BIND": "127.0.0.1",
            "DATABASE_URL": dsn,
            "REDIS_URL": redis_url,
            "KEY_PEPPER": PEPPER,
            "INTERNAL_SECRET": "the-secret-of-the-crash-tests",
            "SERVICE_EMBEDDINGS_URL": service,
            "WORKERS": "1",
            # Who compares every request with his own journal wants no other customers.
            "CANARY_EVERY_MS": "0",
        }
        self.settings = {f"SLUICE_{name}": text for name, text in settings.items()}

    @property
    def spools(self) -> list[Path]:
        """The spools on disk."""
        root = self.folder / "spool"
        return sorted(path for path in root.iterdir() if path.is_dir()) if root.exists() else []

    def start(self, *words: str, port: int | None = None) -> subprocess.Popen[bytes]:
        """A process of ours; its log is in the folder."""
        return self._start([sys.executable, "-m", "gateway", *words], "-".join(words), port)

    def start_with(self, listening: socket.socket, *words: str) -> subprocess.Popen[bytes]:
        """One that is handed a socket as systemd does it: descriptor 3, and who is meant."""
        fd = listening.fileno()
        hand = (
            f"import os, sys; os.dup2({fd}, 3); os.environ['LISTEN_FDS'] = '1'; "
            "os.environ['LISTEN_PID'] = str(os.getpid()); "
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        )
        command = [sys.executable, "-c", hand, "-m", "gateway", *words]
        return self._start(command, "handed", None, (fd,))

    def _start(
        self, command: list[str], name: str, port: int | None, fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        name = name.replace("/", "_")
        log = self.folder / f"{name}-{len(self._everybody)}.log"
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
        port = port or self.port
        self.ops_port = any_free("127.0.0.1", but=(port,))
        ports = {"SLUICE_PORT": str(port), "SLUICE_OPS_PORT": str(self.ops_port)}
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**environment, **self.settings, **ports},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=fds,
            )
        self._everybody.append(process)
        return process

    def worker(self) -> subprocess.Popen[bytes]:
        """What adopts, reaps and tells."""
        self._workers += 1
        return self.start("worker")

    async def gateway(self, port: int | None = None) -> subprocess.Popen[bytes]:
        """A gateway process that is ready."""
        process = self.start("serve", "--child", "0", port=port)
        await self.ready(process, port or self.port)
        return process

    async def ready(self, process: subprocess.Popen[bytes], port: int) -> None:
        """Until it answers at its port."""
        async with asyncio.timeout(READY_S):
            while not await _answers(port):
                assert process.poll() is None, self.logs()
                await asyncio.sleep(_POLL_S)

    async def mint(self, tokens: int = GRANT) -> Key:
        """A key that no address limits."""
        text = make_key(os.urandom(RANDOM_BYTES), "sluice_")
        key_id = key_id_from_random(os.urandom(8))
        made = await self.book.mint(key_id, self._keys.hash(text), text[-4:], None, tokens, 0)
        assert isinstance(made, BalanceRow)
        return Key(key_id, text)

    async def trial(self, key: Key) -> int:
        """Tokens that are left, by the ledger."""
        row = await self.book.load_balance(key.key_id)
        assert row is not None
        return row.trial

    async def posted(self, key: Key | None = None) -> list[Posted]:
        """What the ledger has of a key, or of all."""
        found = [Posted(*row.values()) for row in await self.postgres.rows(_OUTCOMES)]
        return [each for each in found if key is None or each.key_id == key.key_id]

    @asynccontextmanager
    async def gate(self) -> AsyncIterator[Gate]:
        """A look into Redis."""
        link = RedisLink(self.redis_url, deadline_ms=2_000)
        gate = Gate(link)
        try:
            await link.open()
            yield gate
        finally:
            await link.close()

    async def held(self, *keys: Key) -> list[tuple[int, int]]:
        """Tokens held and requests open, of each."""
        async with self.gate() as gate:
            return [await gate.holds(key.subject) for key in keys]

    async def leftovers(self) -> list[bytes]:
        """Every hold and every deadline that Redis has, whoever's."""
        link = RedisLink(self.redis_url, deadline_ms=2_000)
        try:
            await link.open()
            found: list[Any] = [
                await link.call_at(server, "KEYS", pattern)
                for server in link.masters
                for pattern in ("{s*}h:*", "{s*}d")
            ]
            return [name for names in found for name in names]
        finally:
            await link.close()

    async def proof(self) -> dict[str, int]:
        """What the reconciliation finds, the copies in Redis included."""
        reconciler = Reconciler(self.postgres, load_queries())
        checks = await reconciler.run()
        async with self.gate() as gate:
            checks.append(await reconciler.compare_copies(await gate.copies()))
        return {check.name: check.differences for check in checks if check.differences}

    async def at_rest(self, within_s: float = HEALED_S) -> float:
        """Until nothing is held and no dead spool is left; the seconds that took."""
        begun_s = time.monotonic()

        async def healed() -> bool:
            alive = sum(process.poll() is None for process in self._everybody)
            return len(self.spools) <= alive - self._workers and not await self.leftovers()

        await until(healed, within_s)
        return time.monotonic() - begun_s

    async def marked(self, count: int) -> None:
        """Until so many answers are marked as delivered on disk: nobody gives these back."""

        async def are_marked() -> bool:
            start = Position(1, 0)
            try:
                frames = [f for spool in self.spools for f in read_frames(spool, start)]
            except SpoolDamaged:
                # In the midst of being written.
                return False
            return sum(len(frame.delivered) for frame in frames) >= count

        await until(are_marked)

    def logs(self) -> str:
        """What everybody said."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3_000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    async def close(self) -> None:
        """Nobody of us is left."""
        for process in self._everybody:
            process.kill()
            process.wait(60)
        self._place.close()
        await self.postgres.close()


async def until(
    what: Callable[[], Awaitable[object]], within_s: float = 60.0, every_s: float = _POLL_S
) -> None:
    """Ask until it is so; a store that is away says no."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if await what():
                    return
            except (PostgresUnavailable, RedisUnavailable):
                pass
            await asyncio.sleep(every_s)


def kill(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """kill -9, and wait for the end."""
    for process in processes:
        process.send_signal(signal.SIGKILL)
        process.wait(60)


async def _answers(port: int) -> bool:
    async with Client(port) as client:
        return (await client.ask(None, tokens=1)).status == 401
