"""`sluice up` as a child of a test: started, read, asked, stopped."""

import contextlib
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.commands.ports import any_free
from tests.embedded.processes import ROOT, WITH_US, family, left_after

READY_S = 90.0
STOPPED_S = 60.0


@dataclass(slots=True)
class Up:
    """A running `sluice up`; `lines` is what it printed until it was ready."""

    process: subprocess.Popen[str]
    port: int
    ops_port: int
    spoken: "queue.Queue[str]"
    lines: list[str] = field(default_factory=list)

    @property
    def door(self) -> str:
        """The front door."""
        return f"http://127.0.0.1:{self.port}"

    def curls(self) -> list[list[str]]:
        """The three commands it printed, as a shell would split them."""
        return [shlex.split(line) for line in self.lines if line.startswith("  curl ")]

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Signal it; the exit code, once it and everybody it started have ended."""
        everybody = family(self.process.pid)
        self.process.send_signal(how)
        code = self.process.wait(STOPPED_S)
        # Whom the end has killed, the kernel takes away in its own time.
        left = left_after(everybody, 20)
        assert not left, left
        return code


@contextlib.contextmanager
def up(
    folder: Path,
    *,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    words: Sequence[str] = ("gateway", "up"),
) -> Iterator[Up]:
    """Run `sluice up` on free ports until the block ends; it is ready when this yields."""
    port = any_free("127.0.0.1")
    ops_port = any_free("127.0.0.1", but=(port,))
    process = start(folder, port, ops_port, before=before, env=env, words=words)
    running = Up(process, port, ops_port, queue.Queue())
    reader = threading.Thread(target=_listen, args=(process, running.spoken), daemon=True)
    reader.start()
    try:
        running.lines += _until_ready(running)
        yield running
    finally:
        if process.poll() is None:
            running.stop(signal.SIGKILL)
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def start(
    folder: Path,
    port: int,
    ops_port: int,
    *,
    before: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    words: Sequence[str] = ("gateway", "up"),
) -> subprocess.Popen[str]:
    """Start it with stdout and stderr in one pipe; `words` name the module that runs it."""
    ours = {"DATA_DIR": str(folder), "PORT": str(port), "OPS_PORT": str(ops_port), "WORKERS": "2"}
    settings = {f"SLUICE_{name}": value for name, value in {**ours, **(env or {})}.items()}
    return subprocess.Popen(
        [*before, *WITH_US, sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, **settings},
    )


def doctor_says(folder: Path, port: int, ops_port: int) -> tuple[int, dict[str, str]]:
    """What `sluice doctor` finds: the exit code, and verdict and sentence by subject."""
    ours = {"DATA_DIR": str(folder), "PORT": str(port), "OPS_PORT": str(ops_port)}
    settings = {f"SLUICE_{name}": value for name, value in ours.items()}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor"],
        capture_output=True,
        text=True,
        env={**os.environ, **settings},
    )
    lines = (line.partition(": ") for line in done.stdout.splitlines())
    return done.returncode, {said[6:].strip(): f"{said[:5]} {text}" for said, _, text in lines}


def _listen(process: subprocess.Popen[str], spoken: "queue.Queue[str]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        spoken.put(line.rstrip("\n"))


def _until_ready(running: Up) -> list[str]:
    lines: list[str] = []
    give_up_s = time.monotonic() + READY_S
    while True:
        with contextlib.suppress(queue.Empty):
            lines.append(running.spoken.get(timeout=0.1))
            if lines[-1].startswith("Ctrl-C"):
                return lines
        assert running.process.poll() is None, "\n".join(lines)
        assert time.monotonic() < give_up_s, "\n".join(lines)
