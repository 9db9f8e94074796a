"""Who is compared in `make bench-speed`, each as it stands ready, and one measurement of one side.

Every side is one gateway process (with whatever it needs beside it) before the same stub service,
and is asked by the same load generator. Refuses to count a side's failures as fast answers.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import asyncpg
import orjson

from gateway.products.product import Limits
from ops.bench.speed_nginx import find_nginx, lua_setting, nginx
from ops.bench.stack import (
    HERE,
    PLENTY,
    Stack,
    cpu_s,
    descendants,
    different_ports,
    process,
    rich_key,
)

OURS: Final = "sluice"
EMPTY: Final = "empty aiohttp proxy"
DIRECT: Final = "no gateway"
_WIDE: Final = Limits(PLENTY, PLENTY, PLENTY)
_PATHS: Final = {
    "/v1/embeddings": ("embeddings", _WIDE),
    "/v1/chat/completions": ("deepsearch", _WIDE),
}


@dataclass(frozen=True, slots=True)
class Side:
    """One way to the service; `pids` are its processes on the gateway's side, `missing` why not."""

    name: str
    port: int
    key: str = "none"
    pids: tuple[int, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Sides:
    """All of them; `two` is the gateway with two workers."""

    all: tuple[Side, ...]
    two: Side
    stack: Stack

    def named(self, name: str) -> Side:
        """The side of that name."""
        return next(side for side in self.all if side.name == name)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run gave; `failures` are all answers but 200 and all that did not come."""

    per_s: float
    cpu_us: float
    redis_us: float
    postgres_us: float
    p50_us: int
    p99_us: int
    mb_per_s: float
    failures: int
    load_us: float
    requests: int


@asynccontextmanager
async def sides(stack: Stack) -> AsyncIterator[Sides]:
    """Everything that is compared, warm."""
    async with AsyncExitStack() as running:
        ports = running.enter_context(different_ports(8))
        stub, plain, door, ops, two, ops_two, bare, lua = ports
        start = running.enter_async_context
        await start(
            process(
                str(HERE / "speed_stub.py"), str(stub), environment=stack.environment, port=stub
            )
        )
        target = f"http://127.0.0.1:{stub}"
        yardstick = str(HERE / "baseline_proxy.py")
        proxy = await start(
            process(yardstick, str(plain), target, environment=stack.environment, port=plain)
        )
        urls = {"service_embeddings_url": target, "service_deepsearch_url": target}
        one = stack.settings(port=door, ops_port=ops, workers=1, canary_every_ms=0, **urls)
        more = stack.settings(port=two, ops_port=ops_two, workers=2, canary_every_ms=0, **urls)
        serve = await start(process("-m", "gateway", "serve", environment=one, port=door))
        worker = await start(process("-m", "gateway", "worker", environment=one))
        pair = await start(process("-m", "gateway", "serve", environment=more, port=two))
        wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
        key = await rich_key(stack, door, {"embeddings": wide, "deepsearch": wide})
        found = [
            Side(OURS, door, key, (serve, worker)),
            Side(EMPTY, plain, pids=(proxy,)),
            *await _nginxes(running, stack, stub, bare, lua, key),
            Side(DIRECT, stub),
        ]
        yield Sides(tuple(found), Side("two workers", two, key, (pair,)), stack)


async def _nginxes(
    running: AsyncExitStack, stack: Stack, stub: int, bare: int, lua: int, key: str
) -> tuple[Side, Side]:
    names = ("nginx", "nginx + Lua + Redis")
    found = await find_nginx()
    if found.missing:
        return Side(names[0], bare, missing=found.missing), Side(
            names[1], lua, missing=found.missing
        )
    setting = lua_setting(stack.redis_url, await _key_id(stack), f"Bearer {key}", dict(_PATHS))
    start = running.enter_async_context
    plain = await start(nginx(found, stack.folder / "nginx", bare, stub))
    first = Side(names[0], bare, pids=(plain,))
    try:
        admitting = await start(nginx(found, stack.folder / "nginx-lua", lua, stub, setting))
    except SystemExit as ended:
        return first, Side(names[1], lua, missing=f"not measured: {ended}")
    return first, Side(names[1], lua, key, (admitting,))


async def _key_id(stack: Stack) -> int:
    line = await asyncpg.connect(stack.database_url, ssl=False)
    try:
        text = "select key_id from api_key order by created_at desc limit 1"
        return int(await line.fetchval(text))
    finally:
        await line.close()


async def generate(side: Side, **options: object) -> dict[str, object]:
    """One run of the load generator against a side."""
    words = [str(HERE / "speed_load.py"), "--port", str(side.port), "--key", side.key]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await asyncio.wait_for(child.communicate(), 60)
    except TimeoutError:
        child.kill()
        await child.wait()
        raise
    result: dict[str, object] = orjson.loads(out)
    return result


async def measure(stack: Stack, side: Side, **options: object) -> Figures:
    """One run with what every process used of the CPU meanwhile."""
    groups = ([*side.pids], [stack.redis_pid], [stack.postgres_pid])
    before = [cpu_s(pids) for pids in groups]
    told = await generate(side, **options)
    used = [cpu_s(pids) - then for pids, then in zip(groups, before, strict=True)]
    return figures_of(told, used)


def figures_of(told: dict[str, object], used_s: list[float]) -> Figures:
    """The load generator's line and the CPU seconds of gateway, Redis and PostgreSQL."""
    statuses, seconds, size = told["statuses"], told["seconds"], told["body_bytes"]
    assert isinstance(statuses, dict)
    assert isinstance(seconds, float)
    assert isinstance(size, int)
    assert isinstance(told["p50_us"], int)
    assert isinstance(told["p99_us"], int)
    assert isinstance(told["cpu_s"], float)
    good = int(statuses.get("200", 0))
    each = [used / max(1, good) * 1e6 for used in used_s]
    return Figures(
        good / seconds,
        each[0],
        each[1],
        each[2],
        told["p50_us"],
        told["p99_us"],
        size / seconds / 1e6,
        sum(statuses.values()) - good,
        told["cpu_s"] / max(1, good) * 1e6,
        good,
    )


def workers_cpu_s(serve: int) -> dict[int, float]:
    """CPU seconds of each gateway process below a serving parent."""
    return {pid: cpu_s([pid]) for pid in descendants(serve)}
