"""The load generator of `make bench-speed`: the same for every side.

Closed: N connections, each sends its next request when it has the answer. Open (`--rate`): requests
are due at fixed times whatever the answers do, and latency counts from when a request was due, so
that a server which stalls cannot hide what it held up (coordinated omission).

Prints one JSON line. Refuses to look into answers: status, framing and the number of bytes.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

import orjson
import uvloop

# What has not come by then has failed.
_PATIENCE_S: Final = 10.0
_CONNECTING: Final = 64
Done = Callable[["Client", str], None]


class Client(asyncio.Protocol):
    """One connection; `done` is called with the status of each whole answer, "cut" if it broke."""

    def __init__(self, done: Done) -> None:
        self._done = done
        self._head = b""
        self._status = ""
        # Bytes of the body or the chunk still to come; None: a head is awaited.
        self._left: int | None = None
        self._chunked = False
        self._trailing = False
        self.body_bytes = 0
        self.due_s = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due_s: float) -> None:
        """The next request; its latency counts from `due_s`."""
        self.due_s, self.busy = due_s, True
        self.transport.write(request)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.busy:
            self.busy = False
            self._done(self, "cut")

    def data_received(self, data: bytes) -> None:
        if self._left is None:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            self._begin(data[:end].lower())
            data, self._head = data[end + 4 :], b""
        if self._chunked:
            self._chunks(data)
        elif self._left is not None:
            self._left -= len(data)
            self.body_bytes += len(data)
            if self._left <= 0:
                self._end()

    def _begin(self, head: bytes) -> None:
        self._status = head[9:12].decode()
        at = head.find(b"\r\ncontent-length:")
        self._chunked, self._trailing = at < 0, False
        self._left = 0 if at < 0 else int(head[at + 17 :].split(b"\r\n", 1)[0])

    def _chunks(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        at, size, left = 0, len(data), self._left or 0
        while at < size:
            if left:
                take = min(left, size - at)
                left -= take
                at += take
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._head = data[at:]
                break
            line, at = data[at:end], end + 2
            if self._trailing:
                if not line:
                    self._end()
                    return
            elif number := int(line, 16):
                self.body_bytes += number
                left = number + 2
            else:
                self._trailing = True
        self._left = left

    def _end(self) -> None:
        self._left, self.busy = None, False
        self._done(self, self._status)


@dataclass
class Tally:
    """What happened."""

    statuses: dict[str, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)
    last_s: float = 0.0

    def count(self, client: Client, status: str) -> None:
        """One request has ended."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.last_s = time.perf_counter()
        if status != "cut":
            self.latencies_s.append(self.last_s - client.due_s)


def percentile_us(latencies_s: list[float], percent: float) -> int:
    """A percentile in microseconds, 0 of nothing; `latencies_s` in ascending order."""
    if not latencies_s:
        return 0
    place = min(len(latencies_s) - 1, int(len(latencies_s) * percent / 100))
    return int(latencies_s[place] * 1e6)


async def connect(port: int, count: int, done: Done) -> list[Client]:
    """So many connections, not all of them at the same moment."""
    loop, clients = asyncio.get_running_loop(), list[Client]()
    while len(clients) < count:
        made = [
            loop.create_connection(lambda: Client(done), "127.0.0.1", port)
            for _ in range(min(_CONNECTING, count - len(clients)))
        ]
        clients += [client for _, client in await asyncio.gather(*made)]
    return clients


async def closed(port: int, request: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Every connection asks again when it has its answer, until the time is over."""
    tally, open_ones, over = Tally(), connections, asyncio.Event()
    until_s = 0.0

    def done(client: Client, status: str) -> None:
        nonlocal open_ones
        tally.count(client, status)
        if status != "cut" and time.perf_counter() < until_s:
            client.send(request, time.perf_counter())
            return
        open_ones -= 1
        if not open_ones:
            over.set()

    clients = await connect(port, connections, done)
    began_s = time.perf_counter()
    until_s = began_s + seconds
    for client in clients:
        client.send(request, time.perf_counter())
    try:
        async with asyncio.timeout(seconds + _PATIENCE_S):
            await over.wait()
    except TimeoutError:
        tally.statuses["late"] = sum(client.busy for client in clients)
    return _told(tally, clients, began_s)


async def open_loop(
    port: int, request: bytes, connections: int, seconds: float, rate: float
) -> dict[str, object]:
    """Requests at fixed times on whichever connection is free; who finds none waits its turn."""
    tally, waiting, idle = Tally(), deque[float](), list[Client]()
    total, ended, over = int(rate * seconds), 0, asyncio.Event()

    def done(client: Client, status: str) -> None:
        nonlocal ended
        tally.count(client, status)
        ended += 1
        if ended >= total:
            over.set()
        if status == "cut":
            return
        if waiting:
            client.send(request, waiting.popleft())
        else:
            idle.append(client)

    clients = await connect(port, connections, done)
    idle += clients
    began_s = time.perf_counter() + 0.02
    for number in range(total):
        due_s = began_s + number / rate
        ahead_s = due_s - time.perf_counter()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        if idle:
            idle.pop().send(request, due_s)
        else:
            waiting.append(due_s)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            await over.wait()
    except TimeoutError:
        tally.statuses["late"] = total - ended
    return _told(tally, clients, began_s)


def _told(tally: Tally, clients: list[Client], began_s: float) -> dict[str, object]:
    ordered = sorted(tally.latencies_s)
    used = resource.getrusage(resource.RUSAGE_SELF)
    for client in clients:
        client.transport.abort()
    return {
        "requests": len(ordered),
        "seconds": max(tally.last_s - began_s, 1e-6),
        "statuses": tally.statuses,
        "body_bytes": sum(client.body_bytes for client in clients),
        "p50_us": percentile_us(ordered, 50),
        "p99_us": percentile_us(ordered, 99),
        "most_us": percentile_us(ordered, 100),
        "cpu_s": used.ru_utime + used.ru_stime,
    }


def request_of(kind: str, key: str, size: int) -> bytes:
    """One prepared request that asks the service for an answer of this kind."""
    host, path = "api.localhost", "/v1/embeddings"
    document: dict[str, object] = {"model": kind, "input": ["x" * max(1, size - 40)]}
    if kind == "events":
        host, path = "deepsearch.localhost", "/v1/chat/completions"
        words = [{"role": "user", "content": "x" * max(1, size - 120)}]
        document = {"model": kind, "stream": True, "budget_tokens": 5_000, "messages": words}
    body = orjson.dumps(document)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        "content-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(options: argparse.Namespace) -> None:
    """One run."""
    request = request_of(options.kind, options.key, options.size)
    port, connections, seconds = options.port, options.connections, options.seconds
    if options.rate:
        result = await open_loop(port, request, connections, seconds, options.rate)
    else:
        result = await closed(port, request, connections, seconds)
    sys.stdout.write(orjson.dumps(result).decode() + "\n")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", default="none")
    parser.add_argument("--kind", default="small")
    parser.add_argument("--size", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=0.0)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
