"""Clients that know all nodes, as a balancer does, and keep a journal of what they saw.

A node is in while its /ready says 200. A request whose connection cannot be made goes to another
node, because nothing of it was sent; what happens after that is the gateway's and is noted.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from ops.nodes.net import Place

GATEWAY_PORT = 8_080
OPS_PORT = 8_081
BROKEN = 0
_DEADLINE_S = 60.0
_CONNECT_S = 3.0
_LOOK_EVERY_S = 0.15
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Want:
    """One request: `key` None asks the reader, from the address `client`."""

    key: str | None
    key_id: int | None = None
    tokens: int = 3
    wait_ms: int = 0
    kind: str = "small"
    client: str = "198.51.100.1"
    text: str = "x"


@dataclass(slots=True)
class Asked:
    """A request as the client saw it; times by the client's clock."""

    want: Want
    node: str
    began_s: float
    ended_s: float = 0.0
    status: int = BROKEN
    request_id: str | None = None
    tokens: int | None = None
    error: str = ""
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """A whole answer of the service."""
        return self.status == 200


@dataclass
class Crowd:
    """Connections to every node, and the journal."""

    nodes: Sequence[Place]
    journal: list[Asked] = field(default_factory=list)
    out: set[str] = field(default_factory=set)
    rerouted: int = 0
    ready: dict[str, str] = field(default_factory=dict)
    _kept: dict[str, list[Streams]] = field(default_factory=dict)
    _turn: "itertools.cycle[int]" = field(default_factory=lambda: itertools.cycle(range(10**6)))

    async def watch(self) -> None:
        """Look at every node's readiness until cancelled."""
        await asyncio.gather(*(self._watch_one(node) for node in self.nodes))

    async def _watch_one(self, node: Place) -> None:
        while True:
            status, body = await fetch(node, "/ready")
            self.ready[node.name] = body if status == 200 else f"{status} {body}"
            (self.out.discard if status == 200 else self.out.add)(node.name)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def ask(self, want: Want, node: Place | None = None) -> Asked:
        """One request to this node, or to the next that is in."""
        asked = Asked(want, "", time.monotonic())
        self.journal.append(asked)
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._exchange(asked, node)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            asked.status = BROKEN
            asked.error = f"{type(error).__name__} {error}"
        asked.ended_s = time.monotonic()
        return asked

    async def _exchange(self, asked: Asked, pinned: Place | None) -> None:
        reader, writer = await self._connection(asked, pinned)
        done = False
        try:
            writer.write(_request(asked.want))
            head = (await reader.readuntil(b"\r\n\r\n")).lower().decode()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            asked.request_id = fields.get("x-request-id")
            if fields.get("transfer-encoding") == "chunked":
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readexactly(2)
            else:
                asked.body = await reader.readexactly(int(fields["content-length"]))
            if "x-usage-tokens" in fields:
                asked.tokens = int(fields["x-usage-tokens"])
            asked.status = int(head.split(" ", 2)[1])
            done = fields.get("connection") != "close"
        finally:
            if done:
                self._kept.setdefault(asked.node, []).append((reader, writer))
            else:
                writer.close()

    async def _connection(self, asked: Asked, pinned: Place | None) -> Streams:
        for _ in range(1 if pinned else len(self.nodes)):
            node = pinned or self._next()
            asked.node = node.name
            kept = self._kept.setdefault(node.name, [])
            while kept:
                reader, writer = kept.pop()
                # Every client looks whether its kept connection still stands before it writes.
                if not reader.at_eof() and not writer.is_closing():
                    return reader, writer
                writer.close()
            try:
                async with asyncio.timeout(_CONNECT_S):
                    return await asyncio.open_connection(node.ip, GATEWAY_PORT)
            except OSError:
                if pinned:
                    raise
                self.rerouted += 1
        raise ConnectionRefusedError("no node takes connections")

    def _next(self) -> Place:
        inside = [node for node in self.nodes if node.name not in self.out] or self.nodes
        return inside[next(self._turn) % len(inside)]

    async def steady(self, wants: Callable[[int], Want], rate: float, over: asyncio.Event) -> int:
        """Ask at this rate until it is over; how many were asked."""
        loop = asyncio.get_running_loop()
        begun_s, number = loop.time(), -1
        tasks: set[asyncio.Task[Asked]] = set()
        while not over.is_set():
            number += 1
            late_s = begun_s + number / rate - loop.time()
            if late_s > 0:
                await asyncio.sleep(late_s)
            task = asyncio.create_task(self.ask(wants(number)))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        return number

    def hang_up(self) -> None:
        """Close every kept connection."""
        for kept in self._kept.values():
            for _, writer in kept:
                writer.close()
            kept.clear()


def _request(want: Want) -> bytes:
    forwarded = f"x-forwarded-for: {want.client}\r\n"
    if want.key is None:
        head = f"GET /https://a.example/ HTTP/1.1\r\nhost: r.localhost\r\n{forwarded}\r\n"
        return head.encode()
    asked: dict[str, object] = {"model": "m", "input": want.text, "tokens": want.tokens}
    if want.wait_ms:
        asked["ms"] = want.wait_ms
    if want.kind == "streamed":
        asked["stream"] = True
    body = json.dumps(asked).encode()
    return (
        f"POST /v1/embeddings HTTP/1.1\r\nhost: api.localhost\r\n{forwarded}"
        f"authorization: Bearer {want.key}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def fetch(node: Place, path: str, within_s: float = 2.0) -> tuple[int, str]:
    """A page of a node's operations listener; status 0 when nobody answers."""
    with suppress(OSError, EOFError, ValueError, IndexError):
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(node.ip, OPS_PORT)
            try:
                head = f"GET {path} HTTP/1.1\r\nhost: {node.ip}\r\nconnection: close\r\n\r\n"
                writer.write(head.encode())
                text = await reader.read()
            finally:
                writer.close()
        first, _, body = text.partition(b"\r\n\r\n")
        return int(first.split(b" ", 2)[1]), body.decode(errors="replace").strip()
    return 0, ""
