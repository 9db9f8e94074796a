"""Restarts under load: 500 requests a second, and not one of them may fail.

    python -m ops.bench.restart --seconds 20 --rate 500

1. `sluice serve` with two gateway processes stands before a stub service; clients ask at a fixed
   rate: small answers on kept connections, small answers on fresh ones, streams of two seconds.
2. Meanwhile SIGHUP replaces every gateway process, three times; then a second `sluice serve` starts
   on the same port, and the first one gets SIGTERM.
3. Each request must have a whole answer with status 200, and the ledger exactly one charge for it.

Exit code 0 iff nothing failed. Loopback only, on servers of its own.
"""

import argparse
import asyncio
import signal
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import asyncpg
import orjson
import uvloop

from ops.bench.stack import PLENTY, Stack, different_ports, process, rich_key, stack
from ops.bench.stub import ANSWER

_STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-usage-tokens: 7\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
_PIECES, _PIECE_S = 8, 0.25
_DEADLINE_S = 30.0
_STREAMED_OF_100, _FRESH_OF_100 = 10, 30
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Seen:
    """What the clients saw."""

    asked: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    began_s: float = field(default_factory=time.monotonic)
    failed_s: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def fail(self, how: str) -> None:
        """One more that failed."""
        self.failed[how[:120]] += 1
        self.failed_s.append(time.monotonic() - self.began_s)

    def note(self, what: str) -> None:
        """What was done to the gateways, and when."""
        self.events.append(f"{time.monotonic() - self.began_s:.1f} s {what}")


class Clients:
    """Asks; kept connections are taken from a pool and put back, as every client does."""

    def __init__(self, port: int, key: str) -> None:
        self._port = port
        self._kept: list[Streams] = []
        self._key = key
        self.seen = Seen()

    async def at(self, second: float) -> None:
        """Wait until so many seconds after the beginning."""
        await asyncio.sleep(max(0.0, self.seen.began_s + second - time.monotonic()))

    async def ask(self, number: int) -> None:
        """One request, whatever comes of it."""
        place = number * 37 % 100
        kind = "streamed" if place < _STREAMED_OF_100 else "kept"
        if _STREAMED_OF_100 <= place < _STREAMED_OF_100 + _FRESH_OF_100:
            kind = "fresh"
        self.seen.asked[kind] += 1
        began_s = time.perf_counter()
        try:
            async with asyncio.timeout(_DEADLINE_S):
                status = await self._exchange(kind)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.seen.fail(f"{kind}: {type(error).__name__} {error}")
            return
        if status != 200:
            self.seen.fail(f"{kind}: status {status}")
        elif kind != "streamed":
            self.seen.seconds.append(time.perf_counter() - began_s)

    async def _exchange(self, kind: str) -> int:
        reader, writer = await self._connection(fresh=kind == "fresh")
        done = False
        try:
            writer.write(self._request(kind))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"transfer-encoding: chunked" in head:
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readexactly(2)
            else:
                length = head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]
                await reader.readexactly(int(length))
            done = b"connection: close" not in head and kind != "fresh"
        finally:
            if done:
                self._kept.append((reader, writer))
            else:
                writer.close()
        return int(head.split(b" ", 2)[1])

    async def _connection(self, *, fresh: bool) -> Streams:
        while self._kept and not fresh:
            reader, writer = self._kept.pop()
            # Every client looks whether its kept connection still stands before it writes.
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)

    def _request(self, kind: str) -> bytes:
        body = orjson.dumps({"model": "m", "input": "slow" if kind == "streamed" else "x"})
        return (
            b"POST /v1/embeddings HTTP/1.1\r\nhost: api.localhost\r\n"
            b"authorization: Bearer %b\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n%b" % (self._key.encode(), len(body), body)
        )


async def _service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A small answer at once, or a stream of two seconds."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0]
            if b"slow" not in await reader.readexactly(int(length)):
                writer.write(ANSWER)
                continue
            writer.write(_STREAM)
            for _ in range(_PIECES):
                await asyncio.sleep(_PIECE_S)
                writer.write(b"400\r\n" + b"x" * 1_024 + b"\r\n")
            writer.write(b"0\r\n\r\n")
    except (EOFError, ConnectionError):
        writer.close()


async def _load(clients: Clients, rate: int, over: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    begun_s, tasks, number = loop.time(), set(), -1
    while not over.is_set():
        number += 1
        late_s = begun_s + number / rate - loop.time()
        if late_s > 0:
            await asyncio.sleep(late_s)
        task = asyncio.create_task(clients.ask(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


async def _serve(standing: Stack, door: int, ops: int, upstream: str) -> asyncio.subprocess.Process:
    """One that has told its service manager, which is us, that it is ready."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(standing.folder / f"notify-{ops}"))
    manager.setblocking(False)
    settings = standing.settings(
        port=door,
        ops_port=ops,
        workers=2,
        lame_duck_ms=500,
        service_embeddings_url=upstream,
        canary_every_ms=0,
    )
    settings["NOTIFY_SOCKET"] = manager.getsockname()
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", env=settings, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        await asyncio.get_running_loop().sock_recv(manager, 100)
    manager.close()
    return started


async def run(rate: int, seconds: float) -> int:
    """The whole run; 0 iff nothing failed."""
    server = await asyncio.start_server(_service, "127.0.0.1", 0)
    upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    with different_ports(3) as (door, ops, other_ops):
        async with stack() as standing:
            worker = standing.settings(port=door, canary_every_ms=0)
            async with process("-m", "gateway", "worker", environment=worker):
                first = await _serve(standing, door, ops, upstream)
                wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
                key = await rich_key(standing, door, {"embeddings": wide})
                clients = Clients(door, key)
                over = asyncio.Event()
                loading = asyncio.create_task(_load(clients, rate, over))
                for part in (0.1, 0.3, 0.5):
                    await clients.at(seconds * part)
                    first.send_signal(signal.SIGHUP)
                    clients.seen.note("SIGHUP")
                await clients.at(seconds * 0.65)
                second = await _serve(standing, door, other_ops, upstream)
                clients.seen.note("another serve is ready")
                await asyncio.sleep(1)
                first.terminate()
                clients.seen.note("SIGTERM to the first")
                # Its lame duck, its drain, and a while with the other one alone.
                await asyncio.sleep(4)
                await clients.at(seconds)
                over.set()
                await loading
                codes = [await asyncio.wait_for(first.wait(), 60)]
                second.terminate()
                codes.append(await asyncio.wait_for(second.wait(), 60))
                charged = await _charged(standing)
    return _tell(clients.seen, charged, codes)


async def _charged(standing: Stack) -> int:
    line = await asyncpg.connect(standing.database_url, ssl=False)
    try:
        return int(await line.fetchval("select count(*) from outcome where kind = 'charge'"))
    finally:
        await line.close()


def _tell(seen: Seen, charged: int, codes: list[int]) -> int:
    times = sorted(seen.seconds) or [0.0]
    total, failed = sum(seen.asked.values()), sum(seen.failed.values())
    sys.stdout.write(
        f"{total} requests {dict(seen.asked)}; {', '.join(seen.events)}\n"
        f"failed {failed}, charged {charged}, exit codes {codes}\n"
        f"small answers: median {times[len(times) // 2] * 1e3:.1f} ms, "
        f"99 % {times[int(len(times) * 0.99)] * 1e3:.0f} ms, worst {times[-1] * 1e3:.0f} ms\n"
    )
    if seen.failed_s:
        sys.stdout.write(f"failed from {min(seen.failed_s):.1f} to {max(seen.failed_s):.1f} s\n")
    for text, count in seen.failed.most_common(20):
        sys.stdout.write(f"  {count} x {text}\n")
    return int(bool(failed) or charged != total or any(codes))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=500)
    arguments = parser.parse_args()
    return uvloop.run(run(arguments.rate, arguments.seconds))


if __name__ == "__main__":
    sys.exit(main())
