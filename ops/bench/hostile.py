"""Hostile clients against one gateway process, and what its other clients notice of them.

`python -m ops.bench.hostile [connections]` writes hostile.md: resident memory before, at and after
each attack, and the latency of well-behaved clients in the same minute with and without it. The
attackers are processes of their own, so that they do not hold up the clock of those who measure.
"""

import asyncio
import contextlib
import json
import os
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from gateway.commands.file_limit import raise_file_limit
from ops.bench.hostile_attacks import ATTACKS, POST, attack
from ops.bench.stack import (
    HERE,
    different_ports,
    process,
    resident_bytes,
    rich_key,
    stack,
)

CONNECTIONS: Final = 5_000
_KB: Final = 1_000
_QUIET_S: Final = 6.0
_ATTACK_S: Final = 12.0
_CLIENTS: Final = 4
_BODY: Final = b'{"model":"m","input":["a"]}'


@dataclass
class Noticed:
    """What well-behaved clients saw in one phase."""

    seconds: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    def at(self, share: float) -> float:
        """The latency below which this share of the answers came."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Clients:
    """Some clients with a key, each asking again a moment after its answer."""

    def __init__(self, port: int, key: str) -> None:
        self.noticed = Noticed()
        self._port = port
        head = f"authorization: Bearer {key}\r\ncontent-type: application/json\r\n"
        length = f"content-length: {len(_BODY)}\r\n\r\n"
        self._request = POST + (head + length).encode() + _BODY

    @contextlib.asynccontextmanager
    async def running(self, number: int = _CLIENTS) -> AsyncIterator[None]:
        """They ask until the end of this."""
        tasks = [asyncio.create_task(self._one()) for _ in range(number)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def phase(self, seconds: float) -> Noticed:
        """What they notice from now on, for so long."""
        self.noticed = Noticed()
        await asyncio.sleep(seconds)
        return self.noticed

    async def _one(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while True:
            began_s = time.monotonic()
            writer.write(self._request)
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
                body = await reader.readexactly(length)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.noticed.wrong[type(error).__name__] += 1
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                continue
            status = head[9:12].decode()
            if status == "503":
                status = re.sub(rb'.*"code":"([A-Z_]+)".*', rb"\1", body, flags=re.DOTALL).decode()
            if status == "200":
                self.noticed.seconds.append(time.monotonic() - began_s)
            else:
                self.noticed.wrong[status] += 1
            await asyncio.sleep(0.005)


@dataclass(frozen=True)
class Row:
    """One attack as it is shown."""

    text: str
    number: int
    before: int
    at: int
    after: int
    quiet: Noticed
    during: Noticed
    told: str

    def line(self) -> str:
        """One row of the table."""
        each = (self.at - self.before) / max(1, self.number)
        p50 = self.during.at(0.5) / max(1e-9, self.quiet.at(0.5))
        p99 = self.during.at(0.99) / max(1e-9, self.quiet.at(0.99))
        found = sorted((self.during.wrong + self.quiet.wrong).items())
        wrong = ", ".join(f"{what} {count}" for what, count in found) or "0"
        return (
            f"| {self.text} | {self.number:,} | {self.before / 1e6:.0f} / {self.at / 1e6:.0f} / "
            f"{self.after / 1e6:.0f} MB | {each / _KB:.1f} KB | {len(self.during.seconds):,} | "
            f"{wrong} | {p50:.2f} | {p99:.2f} | {self.told} |"
        )


async def suffered(name: str, port: int, pid: int, number: int, clients: Clients) -> Row:
    """One attack with a quiet time before it."""
    quiet = await clients.phase(_QUIET_S)
    before = resident_bytes(pid)
    attacker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ops.bench.hostile",
        "--attack",
        name,
        str(port),
        str(number),
        stdout=asyncio.subprocess.PIPE,
        cwd=HERE.parents[1],
    )
    assert attacker.stdout is not None
    clients.noticed = during = Noticed()
    most = before
    said = asyncio.create_task(attacker.stdout.read())
    while not said.done():
        most = max(most, resident_bytes(pid))
        await asyncio.sleep(0.1)
    await attacker.wait()
    told = json.loads((await said).decode().splitlines()[-1])
    await asyncio.sleep(2)
    text = ", ".join(f"{what} {count:,}" for what, count in sorted(told.items())) or "each refused"
    return Row(ATTACKS[name][2], number, before, most, resident_bytes(pid), quiet, during, text)


HEAD: Final = """# Hostile clients

`python -m ops.bench.hostile`: one gateway process, {clients} clients with a key that ask for
embeddings all the time, and attackers in processes of their own. Each attack lasts {seconds:.0f} s
behind {quiet:.0f} quiet ones; p50 and p99 are those of the clients during it, divided by those of
the quiet time before. In its first seconds an attack connects, which costs the gateway a handshake,
a task and a timer each. A service (the reader) is away all the time. All on one machine: what the
attackers compute is missing where they share its processors: {cores}, load {load:.0f} at the
end, so a ratio says little where the load is far above that. Memory that was used once stays with
the process and is used again: what a connection takes is seen in the first attack of its kind.
"reset" is a client that was let go (503) and went on sending.

"""
COLUMNS: Final = (
    "attack",
    "connections",
    "resident before / at most / after",
    "per connection",
    "answers to clients",
    "errors",
    "p50",
    "p99",
    "attackers were told",
)


async def measure(number: int) -> list[Row]:
    """All attacks on one gateway."""
    async with AsyncExitStack() as running:
        base = await running.enter_async_context(stack())
        stub, door = running.enter_context(different_ports(2))
        start = running.enter_async_context
        stub_words = (str(HERE / "stub.py"), str(stub))
        await start(process(*stub_words, environment=base.environment, port=stub))
        here = f"http://127.0.0.1:{stub}"
        # Nobody listens where the reader should be: a service is away all the time.
        settings = base.settings(
            port=door,
            service_embeddings_url=here,
            service_segmenter_url=here,
            service_reader_url="http://127.0.0.1:9",
            header_deadline_ms=8_000,
        )
        words = ("-m", "gateway", "serve", "--child", "0")
        pid = await start(process(*words, environment=settings, port=door))
        clients = Clients(door, await rich_key(base, door))
        rows = []
        async with clients.running():
            await clients.phase(2)
            for name in ATTACKS:
                some = min(number, 1_000) if name in ("floods", "bodies") else number
                rows.append(
                    await suffered(name, door, pid, 0 if name == "garbage" else some, clients)
                )
                sys.stderr.write(rows[-1].line() + "\n")
        return rows


def main() -> None:
    """The table, or one attack for whoever makes the table."""
    raise_file_limit()
    if sys.argv[1:2] == ["--attack"]:
        name, port, number = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
        told = asyncio.run(attack(name, port, number, _ATTACK_S))
        sys.stdout.write(json.dumps(told) + "\n")
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    rows = asyncio.run(measure(min(number, most)))
    text = HEAD.format(
        clients=_CLIENTS,
        seconds=_ATTACK_S,
        quiet=_QUIET_S,
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
    )
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *(r.line() for r in rows)]
    (HERE / "hostile.md").write_text(text + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
