"""Looking at processes from outside: who descends from whom, and who is left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.postgres_server import PostgresServer

ROOT = Path(__file__).resolve().parents[2]
# What a test process is started with to be an ordinary user, when it is root itself.
ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
# A run that is killed leaves nobody who goes on without it.
WITH_US = ("setpriv", "--pdeathsig", "KILL", "--")


@dataclass(frozen=True, slots=True)
class Seen:
    """One process; its start time tells it from a later one with the same number."""

    pid: int
    started: str
    command: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        fields = _stat(self.pid)
        return fields is not None and fields[19] == self.started and fields[0] != "Z"


def family(pid: int) -> list[Seen]:
    """A process and all its descendants."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))) is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        found.append(waiting.pop())
        waiting.extend(parents.get(found[-1], ()))
    return [seen for one in found if (seen := _see(one)) is not None]


def left_after(family_before: Sequence[Seen], patience_s: float) -> list[Seen]:
    """Who of them still lives when the patience is over; none as early as possible."""
    give_up_s = time.monotonic() + patience_s
    while True:
        left = [seen for seen in family_before if seen.alive]
        if not left or time.monotonic() > give_up_s:
            return left
        time.sleep(0.01)


async def kill_postgres(server: PostgresServer) -> None:
    """kill -9 of the postmaster and of its backends, which alone would serve on for a moment."""
    everybody = family(server.pid)
    for seen in everybody:
        if seen.alive:
            os.kill(seen.pid, signal.SIGKILL)
    await server.wait_dead()
    left = await asyncio.to_thread(left_after, everybody, 20.0)
    assert not left, left


def start_python(
    *words: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """A Python of ours with the checkout on its path, its stdout and stderr piped to us."""
    return subprocess.Popen(
        [*before, *WITH_US, sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
    )


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """It, until the block ends; a block that fails does not wait for it."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def callers() -> dict[str, Sequence[str]]:
    """As whom a test process can be started here: as we are, and as an ordinary user too."""
    if os.geteuid() != 0:
        return {"ordinary": ()}
    tried = subprocess.run([*ORDINARY, "true"], capture_output=True)
    ordinary = {"ordinary": ORDINARY} if tried.returncode == 0 else {}
    return {"root": (), **ordinary}


def _see(pid: int) -> Seen | None:
    fields = _stat(pid)
    if fields is None or fields[0] == "Z":
        return None
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    return Seen(pid, fields[19], command)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/pid/stat after the name: state first, then the parent."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
