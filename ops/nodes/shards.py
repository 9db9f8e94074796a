"""Six Redis servers on six machines: three masters, a replica of each, as a cluster.

`NODE_TIMEOUT_MS` is what is asked of an operator too (ops/runbook.md): a master that its peers have
not heard for so long is failed over, after about a second more for the vote.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.embedded.wire import RedisRefused, redis_command
from gateway.redis_link.wire import SLOTS
from ops.nodes.net import Place
from ops.nodes.packages import RedisProgram
from ops.nodes.programs import Program, start
from ops.nodes.waiting import until

PORT = 6_379
SHARDS = 3
NODE_TIMEOUT_MS = 3_000
_OPTIONS = {
    "--port": str(PORT),
    "--save": "",
    "--appendonly": "no",
    "--maxmemory-policy": "noeviction",
    "--daemonize": "no",
    "--protected-mode": "no",
    "--cluster-enabled": "yes",
    "--cluster-config-file": "nodes.conf",
    "--cluster-node-timeout": str(NODE_TIMEOUT_MS),
    # A lost shard must not take the others with it.
    "--cluster-require-full-coverage": "no",
    "--cluster-allow-replica-migration": "no",
    "--repl-diskless-sync": "yes",
    "--repl-diskless-sync-delay": "0",
    "--repl-timeout": "10",
}


@dataclass
class Server:
    """One Redis."""

    place: Place
    program: Program


@dataclass(frozen=True, slots=True)
class Member:
    """A server as the cluster knows it."""

    ip: str
    is_master: bool
    failed: bool
    identity: str
    master: str
    slots: tuple[tuple[int, int], ...]


class Shards:
    """The cluster; `binary` runs on each of the six machines."""

    def __init__(self, binary: RedisProgram, folder: Path, places: Sequence[Place]) -> None:
        self._binary = binary
        self._folder = folder
        self.places = places
        self.servers: dict[str, Server] = {}

    @property
    def url(self) -> str:
        """What gateways are given: any of them may be away when one starts."""
        return f"redis://{','.join(f'{place.ip}:{PORT}' for place in self.places)}"

    @property
    def one_url(self) -> str:
        """For a version that knows one address only."""
        return f"redis://{self.places[0].ip}:{PORT}"

    async def begin(self) -> None:
        """Start all, share the slots, give each master its replica, wait until all agree."""
        for place in self.places:
            await self.start(place)
        for number, place in enumerate(self.places):
            await self._answers(place)
            if number < SHARDS:
                first, last = (-(-SLOTS * n // SHARDS) for n in (number, number + 1))
                await talk(place, "CLUSTER", "ADDSLOTSRANGE", first, last - 1)
            await talk(place, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for place in self.places[1:]:
            await talk(self.places[0], "CLUSTER", "MEET", place.ip, PORT)
        await self._until_known(len(self.places))
        for number, place in enumerate(self.places[SHARDS:]):
            master = await talk(self.places[number], "CLUSTER", "MYID")
            await talk(place, "CLUSTER", "REPLICATE", master)
        await self.whole()

    async def start(self, place: Place) -> None:
        """Start the server of a machine, empty or with what its cluster knows of it."""
        folder = self._folder / place.name
        folder.mkdir(parents=True, exist_ok=True)
        words = [word for pair in _OPTIONS.items() for word in pair]
        command = [str(self._binary.path), *words, "--bind", place.ip, "--dir", str(folder)]
        environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": self._binary.libraries}
        program = await start(
            place.name, place, command, folder / "log", environment=environment, cwd=folder
        )
        self.servers[place.name] = Server(place, program)

    async def members(self, asked: Place | None = None) -> list[Member]:
        """The cluster as one server sees it, or as the first one that most agree with does."""
        for place in [asked] if asked is not None else self.places:
            with suppress(OSError, AssertionError):
                told = str(await talk(place, "CLUSTER", "NODES"))
                if asked is None and "cluster_state:ok" not in str(
                    await talk(place, "CLUSTER", "INFO")
                ):
                    continue
                return [_member(line) for line in told.splitlines()]
        return []

    async def master_of(self, slot: int) -> Place | None:
        """The machine that has this slot now, by those who can decide it."""
        for member in await self.members():
            if member.is_master and not member.failed and _has(member, slot):
                return self._place(member)
        return None

    async def replica_of(self, master: Place) -> Place:
        """Its replica."""
        members = await self.members()
        identity = next(m.identity for m in members if m.ip == master.ip)
        return self._place(next(m for m in members if m.master == identity))

    async def until_moved(self, slot: int, master: Place, within_s: float = 60.0) -> Place:
        """Until another one has the slot."""
        async with asyncio.timeout(within_s):
            while True:
                found = await self.master_of(slot)
                if found is not None and found != master:
                    return found
                await asyncio.sleep(0.02)

    async def whole(self, within_s: float = 60.0) -> None:
        """Until every server is in, three have all slots, and every replica has its copy."""
        await until(self._is_whole, within_s, 0.1)

    async def _is_whole(self) -> bool:
        try:
            for place in self.places:
                members = await self.members(place)
                covered = sum(b - a + 1 for m in members for a, b in m.slots if m.is_master)
                if any(m.failed for m in members) or covered != SLOTS:
                    return False
                info = str(await talk(place, "INFO", "replication"))
                if "role:slave" in info and "master_link_status:up" not in info:
                    return False
            return len(members) == len(self.places)
        except (OSError, AssertionError):
            return False

    async def _until_known(self, count: int) -> None:
        async def known() -> bool:
            return all([len(await self.members(place)) >= count for place in self.places])

        await until(known, 60, 0.05)

    async def _answers(self, place: Place) -> None:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    if await talk(place, "PING") == "PONG":
                        return
                await asyncio.sleep(0.02)

    def _place(self, member: Member) -> Place:
        return next(place for place in self.places if place.ip == member.ip)


def _member(line: str) -> Member:
    identity, address, flags, master, *rest = line.split(" ")
    known = flags.split(",")
    slots = []
    for word in rest[4:]:
        if not word.startswith("["):
            first, _, last = word.partition("-")
            slots.append((int(first), int(last or first)))
    failed = bool({"fail", "fail?", "noaddr", "handshake"} & set(known))
    return Member(
        address.rpartition(":")[0], "master" in known, failed, identity, master, tuple(slots)
    )


def _has(member: Member, slot: int) -> bool:
    return any(first <= slot <= last for first, last in member.slots)


async def talk(place: Place, *words: str | int, within_s: float = 2.0) -> Any:
    """One command to one server. OSError (also a TimeoutError): it does not answer."""
    async with asyncio.timeout(within_s):
        reader, writer = await asyncio.open_connection(place.ip, PORT)
        try:
            reply = await redis_command(reader, writer, *(str(word) for word in words))
        finally:
            writer.close()
    assert not isinstance(reply, RedisRefused), f"{place.name}: {words[:2]}: {reply}"
    return reply
