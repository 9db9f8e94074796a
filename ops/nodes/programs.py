"""Processes on machines: started in a namespace, ended by their numbers, with all below them.

Refuses to leave one: this process is the first of its process namespace, and with it all end.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ops.bench.stack import descendants
from ops.nodes.net import Place
from ops.nodes.waiting import until

_GONE_S = 30.0


@dataclass
class Program:
    """One process and those that it started."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self.process.returncode is None

    def family(self) -> list[int]:
        """It and all below it."""
        if not self.alive:
            return []
        return [self.process.pid, *descendants(self.process.pid)]

    async def kill(self) -> None:
        """kill -9 of it and all below, as if the machine lost its power; they are gone then."""
        family = self.family()
        signal_all(family, signal.SIGKILL)
        await self.process.wait()

        async def gone() -> bool:
            return not any(map(is_running, family))

        await until(gone, _GONE_S, 0.01)

    def freeze(self) -> None:
        """SIGSTOP to it and all below."""
        signal_all(self.family(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        signal_all(self.family(), signal.SIGCONT)

    async def stop(self, number: int = signal.SIGTERM, within_s: float = 60.0) -> int:
        """Ask it to end; its exit code."""
        if self.alive:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), within_s)

    def words(self, count: int = 2_000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-count:]


def signal_all(pids: Sequence[int], number: int) -> None:
    """Send a signal to each of these that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def is_running(pid: int) -> bool:
    """Whether it is a process that could still do something; a zombie could not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def start(
    name: str,
    place: Place,
    command: Sequence[str],
    log: Path,
    *,
    environment: Mapping[str, str],
    cwd: Path,
) -> Program:
    """Start a command on a machine. `ip netns exec` becomes the command: the number is its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", place.name, *command),
            env=dict(environment),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    return Program(name, process, log)
