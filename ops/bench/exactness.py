"""What must be exact: round trips per request, queries on the path, and a limit of 10 under 100."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from aiohttp import ClientSession

from gateway import app
from gateway.settings import load_settings
from ops.bench.stack import HERE, SECRET, Stack, different_ports, process, rich_key

_REQUESTS = 1_000
_WORKERS = (1, 4)


async def round_trips(stack: Stack) -> list[tuple[str, str, str]]:
    """Counters of a gateway in this process, whose shipper and beat are counted apart."""
    async with AsyncExitStack() as running:
        stub, door = running.enter_context(different_ports(2))
        start = running.enter_async_context
        await start(
            process(str(HERE / "stub.py"), str(stub), environment=stack.environment, port=stub)
        )
        settings = load_settings(
            stack.settings(
                port=door,
                service_embeddings_url=f"http://127.0.0.1:{stub}",
                # One shipment would be counted too; none falls into the measurement.
                ship_interval_ms=10_000,
                data_dir=stack.folder / "counted",
            )
        )
        base = await start(app.ground(settings, "bench"))
        node = await start(app.node(base, {"key_pepper": SECRET, "internal_secret": SECRET}))
        sock = app.listening_socket("127.0.0.1", door)
        await start(app.listening(node, sock))
        limits = {"embeddings": {"rpm": _REQUESTS + 1, "tpm": 10**12, "concurrency": 10**6}}
        key = await rich_key(stack, door, limits)
        session = await start(ClientSession(headers={"authorization": f"Bearer {key}"}))
        url = f"http://127.0.0.1:{door}/v1/embeddings"
        await _post(session, url)
        admitted = await _counted(base, session, url, _REQUESTS)
        refused = await _counted(base, session, url, 100)
    trips, queries = admitted
    asked = f"{queries}" if queries >= _REQUESTS else f"0 ({queries} behind it, one a second)"
    return [
        ("Redis round trips per warm admitted request", "1.00", f"{trips / _REQUESTS:.3f}"),
        ("PostgreSQL queries on its path", "0", asked),
        ("Redis round trips per refused request", "<= 1", f"{refused[0] / 100:.2f}"),
    ]


async def _counted(
    base: app.Ground, session: ClientSession, url: str, requests: int
) -> tuple[int, int]:
    commands, queries = base.link.commands, base.postgres.queries
    beats_before = asyncio.get_running_loop().time()
    for _ in range(requests):
        await _post(session, url)
    beats = int(asyncio.get_running_loop().time() - beats_before) + 1
    found = base.link.commands - commands
    # The beat writes one command a second, whatever the traffic.
    return (found - beats if found > requests else found), base.postgres.queries - queries


async def _post(session: ClientSession, url: str) -> int:
    async with session.post(url, json={"model": "m", "input": ["x"]}) as answer:
        await answer.read()
        return answer.status


async def limit_of_ten(stack: Stack) -> list[tuple[str, str, str]]:
    """100 requests at once against 10 per minute, with one gateway process and with four."""
    rows = []
    for workers in _WORKERS:
        async with AsyncExitStack() as running:
            stub, door, operations = running.enter_context(different_ports(3))
            start = running.enter_async_context
            await start(
                process(str(HERE / "stub.py"), str(stub), environment=stack.environment, port=stub)
            )
            settings = stack.settings(
                port=door,
                ops_port=operations,
                workers=workers,
                service_embeddings_url=f"http://127.0.0.1:{stub}",
            )
            await start(process("-m", "gateway", "serve", environment=settings, port=door))
            await asyncio.sleep(1.5)
            key = await rich_key(stack, door, {"embeddings": {"rpm": 10}})
            session = await start(ClientSession(headers={"authorization": f"Bearer {key}"}))
            url = f"http://127.0.0.1:{door}/v1/embeddings"
            statuses = Counter(await asyncio.gather(*(_post(session, url) for _ in range(100))))
        rows.append(
            (
                f"of 100 parallel requests pass a limit of 10, {workers} processes",
                "10",
                f"{statuses[200]} ({statuses[429]} refused)",
            )
        )
    return rows
