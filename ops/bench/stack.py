"""What the benchmarks run against: embedded servers, a stub, and gateway processes of our own.

Refuses to leave anything running: everything is started in a context and ended by process id.
"""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson
from aiohttp import ClientSession

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SECRET = "benchmarks-need-no-secret"  # noqa: S105 - of a throw-away installation
_TICKS = os.sysconf("SC_CLK_TCK")
PLENTY = 10**12


@dataclass
class Stack:
    """The two servers, the data folder, and the environment of gateway processes."""

    folder: Path
    database_url: str
    redis_url: str
    environment: dict[str, str]
    redis_pid: int
    postgres_pid: int

    def settings(self, **changes: object) -> dict[str, str]:
        """The environment with some settings changed."""
        return self.environment | {f"SLUICE_{k.upper()}": str(v) for k, v in changes.items()}


@asynccontextmanager
async def stack() -> AsyncIterator[Stack]:
    """Servers with an empty database in a folder of their own."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    await asyncio.gather(postgres.start(), redis.start())
    try:
        await bring_up_to_date(postgres.dsn)
        own = {
            "SLUICE_DATABASE_URL": postgres.dsn,
            "SLUICE_REDIS_URL": redis.url,
            "SLUICE_DATA_DIR": str(folder),
            "SLUICE_KEY_PEPPER": SECRET,
            "SLUICE_INTERNAL_SECRET": SECRET,
            "SLUICE_ADMIN_TOKEN": SECRET,
            "SLUICE_KEYS_PER_ADDRESS": "1000",
            "PYTHONPATH": str(ROOT),
        }
        environment = os.environ | own
        yield Stack(folder, postgres.dsn, redis.url, environment, redis.pid, postgres.pid)
    finally:
        await asyncio.gather(postgres.stop(), redis.stop())
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def process(
    *words: str, environment: dict[str, str], port: int | None = None
) -> AsyncIterator[int]:
    """A Python process of ours, by its id; ready when its port takes connections."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        if port is not None:
            await listens(port, child)
        yield child.pid
    finally:
        if child.returncode is None:
            child.terminate()
            await child.wait()


async def listens(port: int, child: asyncio.subprocess.Process) -> None:
    """Wait until the port takes connections; ends the program when the process has ended."""
    for _ in range(400):
        if child.returncode is not None:
            raise SystemExit(f"a process ended with {child.returncode} before it listened")
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
    raise SystemExit(f"nothing listens on {port}")


def free_port() -> int:
    """A port that nobody uses at the moment, outside the range of outgoing connections."""
    for port in range(21_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise SystemExit("no free port")


@contextmanager
def different_ports(count: int) -> Iterator[list[int]]:
    """Several free ports."""
    first = free_port()
    ports: list[int] = []
    while len(ports) < count:
        first += 1
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", first)):
                ports.append(first)
    yield ports


def cpu_s(pids: list[int]) -> float:
    """CPU seconds that processes and all their descendants have used so far."""
    total = 0
    for each in [*pids, *(child for pid in pids for child in descendants(pid))]:
        stat = Path(f"/proc/{each}/stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def descendants(pid: int) -> list[int]:
    """The processes below one."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def resident_bytes(pid: int) -> int:
    """What of a process is in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def rich_key(stack: Stack, port: int, limits: dict[str, object] | None = None) -> str:
    """A premium key with plenty of tokens and limits that do not bind, or those given."""
    url = f"http://127.0.0.1:{port}/v1/keys"
    async with ClientSession() as session, session.post(url) as answer:
        minted = await answer.json()
    wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
    text = orjson.dumps(limits or {"embeddings": wide, "segment": wide, "reader": wide}).decode()
    line = await asyncpg.connect(stack.database_url, ssl=False)
    try:
        key_id = await line.fetchval("select key_id from api_key order by created_at desc limit 1")
        await line.fetchrow(
            "select * from credit_key($1, $2, 'paid', $3)", key_id, PLENTY, str(port)
        )
        await line.fetchrow("select * from set_key_limits($1, $2)", key_id, text)
    finally:
        await line.close()
    return str(minted["api_key"])


async def load(port: int, key: str, **options: object) -> dict[str, object]:
    """One run of the load generator."""
    words = [str(HERE / "load.py"), "--port", str(port), "--key", key]
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(child.communicate(), 120)
    result: dict[str, object] = orjson.loads(out)
    return result
