"""A search service and a reader of our own, for `sluice index` while nothing else runs.

Refuses to outlive the command: both end with it, however it ends.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from gateway.commands import ports
from gateway.errors import ConfigurationFault
from gateway.settings import PREFIX, Settings

_READY_S: Final = 20.0
_POLL_S: Final = 0.02
_GRACE_S: Final = 15.0


@asynccontextmanager
async def running(settings: Settings, secret: str, *, needs_reader: bool) -> AsyncIterator[Path]:
    """The socket of a search service on the data folder of these settings."""
    children: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sluice-") as made:
        reader, search = Path(made) / "reader.sock", Path(made) / "search.sock"
        ours = {
            "INTERNAL_SECRET": secret,
            "DATA_DIR": str(settings.data_dir),
            "SERVICE_READER_URL": settings.service_urls.get("reader", f"unix:{reader}"),
        }
        environ = {**settings.environ, **{PREFIX + name: value for name, value in ours.items()}}
        try:
            if needs_reader and "reader" not in settings.service_urls:
                children.append(_start("reader", reader, environ))
            children.append(_start("search", search, environ))
            await _ready(children, [reader, search][-len(children) :])
            yield search
        finally:
            await asyncio.to_thread(_stop, children)


def _start(name: str, socket: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # What it says matters only if it does not come up; a pipe would have to be emptied.
    with _words(socket).open("wb") as words:
        # S603: our own interpreter, our own module.
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", f"services.{name}", "--listen", f"unix:{socket}"],
            env=dict(environ),
            stderr=words,
        )


def _words(socket: Path) -> Path:
    return socket.with_suffix(".log")


async def _ready(children: list[subprocess.Popen[bytes]], sockets: list[Path]) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            for socket in sockets:
                while not await ports.accepts(socket):
                    _complain_of_dead(children, sockets)
                    await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise ConfigurationFault(["the search service did not come up"]) from None


def _complain_of_dead(children: list[subprocess.Popen[bytes]], sockets: list[Path]) -> None:
    for child, socket in zip(children, sockets, strict=True):
        if child.poll() is not None:
            said = _words(socket).read_text(encoding="utf-8", errors="replace").strip()
            raise ConfigurationFault(said.splitlines() or ["a service ended at its start"])


def _stop(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
