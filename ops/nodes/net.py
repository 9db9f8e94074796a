"""Machines that are network namespaces, and the cables between them that can be cut.

Each machine has a network of its own, 10.77.N.0/24, and this process stands where the router
stands. A cut drops what the router would forward, silently, as a broken network does: nobody is
told. What this process says itself to a machine still arrives, as over a management network.

Refuses to run outside namespaces of its own: see `ops.nodes.__main__`.
"""

import asyncio
from dataclasses import dataclass

ROUTER = 1
MACHINE = 2
SUBNET = "10.77.0.0/16"


@dataclass(frozen=True, slots=True)
class Place:
    """A machine: the name of its namespace, and the number of its network."""

    name: str
    number: int

    @property
    def ip(self) -> str:
        """Its address."""
        return f"10.77.{self.number}.{MACHINE}"


class Net:
    """All machines, and which of them do not hear each other."""

    def __init__(self) -> None:
        self._cuts: set[tuple[Place, Place]] = set()

    async def begin(self) -> None:
        """Forward between machines."""
        await run("ip", "link", "set", "lo", "up")
        await run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")

    async def add(self, name: str, number: int) -> Place:
        """One more machine."""
        place = Place(name, number)
        outer = f"v{number}"
        await run("ip", "netns", "add", name)
        await run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
        await run("ip", "addr", "add", f"10.77.{number}.{ROUTER}/24", "dev", outer)
        await run("ip", "link", "set", outer, "up")
        inside = ("ip", "-n", name)
        await run(*inside, "link", "set", "lo", "up")
        await run(*inside, "addr", "add", f"{place.ip}/24", "dev", "eth0")
        await run(*inside, "link", "set", "eth0", "up")
        await run(*inside, "route", "add", "default", "via", f"10.77.{number}.{ROUTER}")
        return place

    async def cut(self, one: Place, *others: Place) -> None:
        """From now on nothing that one says reaches the others, nor the other way."""
        for other in others:
            for source, target in ((one, other), (other, one)):
                if (source, target) not in self._cuts:
                    self._cuts.add((source, target))
                    await run("ip", "rule", "add", *_rule(source, target))

    async def heal(self) -> None:
        """Every cable is whole again."""
        for source, target in sorted(self._cuts, key=lambda pair: (pair[0].name, pair[1].name)):
            await run("ip", "rule", "del", *_rule(source, target))
        self._cuts.clear()


def _rule(source: Place, target: Place) -> tuple[str, ...]:
    return ("from", source.ip, "to", target.ip, "blackhole")


async def run(*words: str) -> str:
    """One command that has to succeed; what it said."""
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    text = out.decode(errors="replace")
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {process.returncode}: {text[-2_000:]}")
    return text
