"""The whole path against the yardstick: CPU per request and throughput, side by side, alternating.

Everything on: key, admission, forward, spool, ledger behind it, metrics. Counted for us are all
gateway-side processes (gateway, its parent with the operations listener, the background worker);
PostgreSQL and Redis are not.
"""

import statistics
from contextlib import AsyncExitStack

from ops.bench.stack import HERE, Stack, cpu_s, different_ports, load, process, rich_key

_ROUNDS = 5
_SECONDS = 4.0
_CONNECTIONS = 32


async def path(stack: Stack) -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    async with AsyncExitStack() as running:
        ports = running.enter_context(different_ports(4))
        stub, plain, door, operations = ports
        start = running.enter_async_context
        await start(
            process(str(HERE / "stub.py"), str(stub), environment=stack.environment, port=stub)
        )
        target = f"http://127.0.0.1:{stub}"
        yardstick = str(HERE / "baseline_proxy.py")
        proxy = await start(
            process(yardstick, str(plain), target, environment=stack.environment, port=plain)
        )
        settings = stack.settings(
            port=door, ops_port=operations, workers=1, service_embeddings_url=target
        )
        ours = [
            await start(process("-m", "gateway", "serve", environment=settings, port=door)),
            await start(process("-m", "gateway", "worker", environment=settings)),
        ]
        key = await rich_key(stack, door)
        for port in (door, plain):
            await load(port, key, seconds=1)
        rounds = [await _round(door, plain, ours, proxy, key) for _ in range(_ROUNDS)]
    return _rows(rounds)


async def _round(door: int, plain: int, ours: list[int], proxy: int, key: str) -> dict[str, float]:
    our_cpu, our_rate, our_p50 = await _measure(door, ours, key)
    cpu, rate, p50 = await _measure(plain, [proxy], key)
    return {
        "our_us": our_cpu,
        "us": cpu,
        "our_rate": our_rate,
        "rate": rate,
        "cpu": our_cpu / cpu,
        "throughput": our_rate / rate,
        "our_p50": our_p50,
        "p50": p50,
    }


async def _measure(port: int, pids: list[int], key: str) -> tuple[float, float, float]:
    before_s = cpu_s(pids)
    result = await load(port, key, seconds=_SECONDS, connections=_CONNECTIONS)
    used_s = cpu_s(pids) - before_s
    statuses, requests = result["statuses"], result["requests"]
    assert statuses == {"200": requests}, statuses
    assert isinstance(requests, int)
    assert isinstance(result["seconds"], float)
    assert isinstance(result["p50_us"], int)
    return used_s / requests * 1e6, requests / result["seconds"], result["p50_us"]


def _rows(rounds: list[dict[str, float]]) -> list[tuple[str, str, str]]:
    def middle(name: str) -> float:
        return statistics.median(each[name] for each in rounds)

    def spread(name: str) -> str:
        values = [each[name] for each in rounds]
        return f"{middle(name):.2f} x ({min(values):.2f} to {max(values):.2f})"

    return [
        ("CPU per request, all gateway-side processes", "<= 1.10 x", spread("cpu")),
        (
            "  in microseconds, ours / the empty proxy",
            "",
            f"{middle('our_us'):.0f} / {middle('us'):.0f}",
        ),
        ("throughput at 32 connections", ">= 0.90 x", spread("throughput")),
        (
            "  requests/s, ours / the empty proxy",
            "",
            f"{middle('our_rate'):.0f} / {middle('rate'):.0f}",
        ),
        (
            "  p50 in microseconds, ours / the empty proxy",
            "",
            f"{middle('our_p50'):.0f} / {middle('p50'):.0f}",
        ),
    ]
