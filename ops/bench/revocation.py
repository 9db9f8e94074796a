"""How long a revocation takes, and whether anybody gets in after its 200.

Every try has a key of its own that all gateway processes know and serve: while requests with it
go out on all connections without a pause, it is revoked on one of them. A request that began after
the 200 and is let in is what must not be.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import orjson

from ops.bench.stack import HERE, Stack, different_ports, process, stack

_BODY = b'{"model": "m", "input": ["x"]}'
_MS = 1_000
_MOST_P99_MS = 50.0


@dataclass
class Seen:
    """What the tries gave: how long each revocation took, and what was answered after it."""

    revoked_ms: list[float] = field(default_factory=list)
    refused_after: int = 0
    admitted_after: int = 0
    admitted_before: int = 0

    def at(self, share: float) -> float:
        """The time within which this share of the revocations was done."""
        ordered = sorted(self.revoked_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Line:
    """One connection that stays."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> "Line":
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, key: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of one request."""
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        return int(answer[9:12]), await self._reader.readexactly(int(length or 0))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def revoked_under_load(lines: Sequence[Line], admin: Line, seen: Seen) -> None:
    """One try: a fresh key, asked for on all lines but the first, revoked on that one."""
    _, minted = await admin.ask("POST", "/v1/keys", "")
    key = orjson.loads(minted)["api_key"]
    after = asyncio.Event()

    async def flood(line: Line) -> None:
        told_after = 0
        while told_after < 2:
            begun_after = after.is_set()
            status, _ = await line.ask("POST", "/v1/embeddings", key, _BODY)
            told_after += begun_after
            if status == 200 and begun_after:
                seen.admitted_after += 1
            elif status == 200:
                seen.admitted_before += 1
            elif begun_after:
                seen.refused_after += 1

    floods = [asyncio.create_task(flood(line)) for line in lines]
    await asyncio.sleep(0.01)
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    status, body = await admin.ask("DELETE", "/v1/keys/me", key)
    after.set()
    seen.revoked_ms.append((loop.time() - begun_s) * _MS)
    assert status == 200, body
    await asyncio.gather(*floods)


async def measure(port: int, tries: int, connections: int) -> Seen:
    """So many tries, one after the other; connections are spread over the processes."""
    seen = Seen()
    lines = [await Line.to(port) for _ in range(connections)]
    for number in range(tries):
        # Each time another one revokes, so that every process does.
        admin = lines[number % connections]
        await revoked_under_load([line for line in lines if line is not admin], admin, seen)
    for line in lines:
        line.close()
    return seen


@asynccontextmanager
async def gateways(standing: Stack, workers: int) -> AsyncIterator[tuple[int, int]]:
    """Gateway processes behind one port; that port, and that of the operators."""
    async with AsyncExitStack() as running:
        stub, door, operations = running.enter_context(different_ports(3))
        start = running.enter_async_context
        await start(
            process(str(HERE / "stub.py"), str(stub), environment=standing.environment, port=stub)
        )
        settings = standing.settings(
            port=door,
            ops_port=operations,
            workers=workers,
            keys_per_address=1_000_000,
            service_embeddings_url=f"http://127.0.0.1:{stub}",
        )
        await start(process("-m", "gateway", "serve", environment=settings, port=door))
        await asyncio.sleep(0.5 * workers)
        yield door, operations


async def main(tries: int, workers: int, connections: int) -> int:
    """Run and tell; 1 when somebody got in, or it took too long."""
    async with stack() as standing, gateways(standing, workers) as (port, _):
        seen = await measure(port, tries, connections)
    sys.stdout.write(
        f"{tries} revocations on {workers} gateway processes, {connections} connections:\n"
        f"  admitted before  {seen.admitted_before}\n"
        f"  begun after the 200: {seen.refused_after} refused, {seen.admitted_after} admitted\n"
        f"  DELETE to 200: p50 {seen.at(0.5):.1f} ms, p99 {seen.at(0.99):.1f} ms, "
        f"longest {max(seen.revoked_ms):.1f} ms\n"
    )
    return int(seen.admitted_after > 0 or seen.at(0.99) > _MOST_P99_MS)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--tries", type=int, default=1_000)
    options.add_argument("--workers", type=int, default=4)
    options.add_argument("--connections", type=int, default=16)
    given = options.parse_args()
    sys.exit(asyncio.run(main(given.tries, given.workers, given.connections)))
