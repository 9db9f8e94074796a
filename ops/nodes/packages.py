"""redis-server 7 of Debian, unpacked into .tools/ and never installed; else the embedded one.

Refuses to be needed: without root, Debian or its mirror, the Redis of the wheel serves.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from gateway.embedded.binaries import redis_binary

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("redis-tools", "redis-server", "libjemalloc2", "liblzf1", "liblua5.1-0")
_MORE = ("lua-cjson", "lua-bitop")


@dataclass(frozen=True, slots=True)
class RedisProgram:
    """A redis-server that runs here."""

    path: Path
    libraries: str
    version: str


def redis_program(repository: Path) -> RedisProgram:
    """Debian's if it can be had, kept in `repository`; else the wheel's."""
    tools = repository / ".tools" / "redis"
    unpacked = tools / "usr" / "bin" / "redis-server"
    if not unpacked.exists():
        _fetch(tools)
    found = _try(unpacked, _libraries(tools)) if unpacked.exists() else None
    return found or _needed(_try(redis_binary(), ""))


def _needed(found: RedisProgram | None) -> RedisProgram:
    if found is None:
        raise SystemExit("no redis-server runs here")
    return found


def _libraries(tools: Path) -> str:
    return ":".join(sorted({str(path.parent) for path in tools.glob("usr/lib/*/*.so.*")}))


def _fetch(tools: Path) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return
    fetched = tools / "fetched"
    fetched.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"]
    for attempt in range(2):
        done = _run([*command, *_PACKAGES, *_MORE], fetched)
        if done or attempt:
            break
        # The list of packages may be older than the mirror.
        _run(["apt-get", "-qq", "update"], fetched)
    for archive in sorted(fetched.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(tools)], fetched)
    shutil.rmtree(fetched)


def _run(command: list[str], folder: Path) -> bool:
    try:
        done = subprocess.run(  # noqa: S603 - our own argv
            command, cwd=folder, capture_output=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _try(path: Path, libraries: str) -> RedisProgram | None:
    environment = {"PATH": os.defpath, "LD_LIBRARY_PATH": libraries}
    try:
        told = subprocess.run(  # noqa: S603 - our own argv
            [str(path), "--version"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    version = told.stdout.partition("v=")[2].split(" ")[0]
    return RedisProgram(path, libraries, version)
