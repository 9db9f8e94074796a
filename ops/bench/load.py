"""A load generator: N connections, each sends one prepared request after another.

Refuses to be the bottleneck: raw bytes out, a length-delimited answer in, about 12 us per request.
Prints one JSON line: requests, seconds, failures by status, latency percentiles in microseconds.
"""

import argparse
import asyncio
import sys
import time
from typing import cast

import orjson
import uvloop


class Client(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, request: bytes, until_s: float, tally: "Tally") -> None:
        self._request = request
        self._until_s = until_s
        self._tally = tally
        self._buffer = b""
        self._need = 0
        self._sent_s = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            return
        head = data[:end].lower()
        at = head.index(b"content-length:") + 15
        stop = head.find(b"\r\n", at)
        length = int(head[at : stop if stop > 0 else None])
        if len(data) < end + 4 + length:
            self._buffer = data
            return
        self._buffer = b""
        now_s = time.perf_counter()
        self._tally.count(head[9:12].decode(), now_s - self._sent_s)
        if now_s < self._until_s:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


class Tally:
    """What happened."""

    def __init__(self) -> None:
        self.statuses: dict[str, int] = {}
        self.latencies_s: list[float] = []

    def count(self, status: str, seconds: float) -> None:
        """One answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.latencies_s.append(seconds)

    def percentile_us(self, percent: float) -> int:
        """A percentile of the latencies."""
        ordered = sorted(self.latencies_s)
        return int(ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e6)


async def run(options: argparse.Namespace) -> None:
    """All connections until the time is over."""
    body = orjson.dumps({"model": "m", "input": ["x" * options.body_bytes]})
    head = (
        f"POST {options.path} HTTP/1.1\r\nhost: {options.host}\r\n"
        f"authorization: Bearer {options.key}\r\ncontent-type: application/json\r\n"
        f"accept: application/json\r\nuser-agent: bench\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    tally = Tally()
    loop = asyncio.get_running_loop()
    began_s = time.perf_counter()
    until_s = began_s + options.seconds
    clients = []
    for _ in range(options.connections):
        _, client = await loop.create_connection(
            lambda: Client(head.encode() + body, until_s, tally), "127.0.0.1", options.port
        )
        clients.append(client)
    await asyncio.gather(*(client.done for client in clients))
    result = {
        "requests": sum(tally.statuses.values()),
        "seconds": time.perf_counter() - began_s,
        "statuses": tally.statuses,
        "p50_us": tally.percentile_us(50),
        "p99_us": tally.percentile_us(99),
    }
    sys.stdout.write(orjson.dumps(result).decode() + "\n")


def main() -> None:
    """Read the options and run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/embeddings")
    parser.add_argument("--host", default="api.localhost")
    parser.add_argument("--key", default="none")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--body-bytes", type=int, default=1_000)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
