"""One child process that dies with its parent and stops within a bound.

Refuses to leave anything behind: the kernel signals the child when the thread that started it
ends, so start children from the main thread. What a child starts itself must ask the kernel for
the same (PR_SET_PDEATHSIG) or notice that its parent is gone.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.embedded.faults import EmbeddedFault

# setpriv asks for the signal and execs sh, which sees by its parent's number whether the parent
# died in between. Both are 1 ms and part of every Debian; a Python hook between fork and exec
# would be neither safe with threads nor silent on Python 3.12.
_GUARD = '[ "$PPID" = "$0" ] && exec "$@"'
_KILL_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to start and stop one child.

    `env` is the whole environment. `before` is a command that execs the rest (unshare, setpriv).
    `log` takes stdout and stderr; None shares ours. `keep_fds` stay open in the child.
    `orphan_signal` is what the kernel sends when we die; `stop_signal` asks for a clean end,
    which may take `grace_s` before the whole process group is killed.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    before: Sequence[str] = ()
    log: Path | None = None
    cwd: Path | None = None
    keep_fds: tuple[int, ...] = ()
    orphan_signal: signal.Signals = signal.SIGKILL
    stop_signal: signal.Signals = signal.SIGTERM
    grace_s: float = 10.0


@dataclass(slots=True)
class Child:
    """A started child; made by `spawn`."""

    spec: ChildSpec
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The process number, also after the end."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs. Its end is also the end of what it left in its group."""
        if self.process.returncode is not None:
            return False
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return True
        # Not reaped yet, so the number is still its own and cannot mean a stranger's group.
        _kill_group(self.pid)
        self.process.wait()
        return False

    async def wait_dead(self) -> int:
        """Wait for the end; the exit code, negative for a signal. Any loop may wait, and often."""
        while self.alive:
            await _readable(os.pidfd_open(self.pid))
        return self.process.wait()

    async def stop(self) -> int:
        """Ask for a clean end, kill after the grace; the exit code. Harmless when dead."""
        if self.alive:
            self.process.send_signal(self.spec.stop_signal)
        try:
            async with asyncio.timeout(self.spec.grace_s):
                return await self.wait_dead()
        except TimeoutError:
            self.kill()
            async with asyncio.timeout(_KILL_WAIT_S):
                return await self.wait_dead()

    def kill(self) -> None:
        """SIGKILL to the child and its process group, now."""
        if self.alive:
            _kill_group(self.pid)


def spawn(spec: ChildSpec) -> Child:
    """Start it in a session of its own, so that a Ctrl-C in the terminal reaches only us.

    Raises EmbeddedFault when the program cannot be started.
    """
    command = [
        *spec.before,
        tool("setpriv"),
        "--pdeathsig",
        spec.orphan_signal.name.removeprefix("SIG"),
        "--",
        "/bin/sh",
        "-c",
        _GUARD,
        str(os.getpid()),
        *spec.argv,
    ]
    output = _open_log(spec.log)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own argv, no shell text from outside
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(spec.env),
            cwd=spec.cwd,
            pass_fds=spec.keep_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise EmbeddedFault(f"{spec.name} cannot be started: {error}") from error
    finally:
        if output is not None:
            os.close(output)
    return Child(spec, process)


def tool(name: str) -> str:
    """Path of a program of util-linux; raises EmbeddedFault naming the package."""
    found = shutil.which(name)
    if found is None:
        raise EmbeddedFault(f"no program {name} on PATH; install the package util-linux")
    return found


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _open_log(path: Path | None) -> int | None:
    if path is None:
        return None
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
