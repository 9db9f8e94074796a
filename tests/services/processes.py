"""Services as real processes, and how they are found and ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.commands.ports import any_free
from tests.services.asking import SECRET

ROOT = Path(__file__).resolve().parents[2]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """A bare environment, so that a test does not depend on the one it runs in."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "SLUICE_INTERNAL_SECRET": SECRET,
        # What one test reads is not what another one finds.
        "SLUICE_READER_CACHE_BYTES": "0",
        **extra,
    }


@contextmanager
def service(name: str, listen: str, extra: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m services.<name>` until the end of the block; it must stop by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"services.{name}", "--listen", listen],
        env=environment(extra),
        cwd=ROOT,
    )
    try:
        wait_ready(listen, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def wait_ready(listen: str, process: subprocess.Popen[bytes], within_s: float = 60.0) -> float:
    """Seconds until the service accepts connections."""
    begun = time.monotonic()
    while time.monotonic() - begun < within_s:
        assert process.poll() is None, f"the service ended with {process.returncode}"
        if _accepts(listen):
            return time.monotonic() - begun
        time.sleep(0.01)
    raise AssertionError(f"{listen} did not come up")


def _accepts(listen: str) -> bool:
    try:
        if listen.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(listen.removeprefix("unix:"))
        else:
            host, _, port = listen.rpartition(":")
            socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def free_port(*but: int) -> int:
    """One that no connection takes before the service listens on it, and none of `but`."""
    return any_free("127.0.0.1", but=but)


def children_of(pid: int) -> list[int]:
    """The process ids whose parent is `pid`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def wait_until_gone(pids: list[int], within_s: float = 30.0) -> list[int]:
    """Those of `pids` that are still there after `within_s`."""
    begun = time.monotonic()
    while any(map(alive, pids)) and time.monotonic() - begun < within_s:
        time.sleep(0.02)
    return [pid for pid in pids if alive(pid)]
