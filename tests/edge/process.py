"""A gateway as a process of its own, so that its memory can be weighed."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.edge.client import PATIENCE_S, Wire
from tests.edge.door import SECRETS

ROOT = Path(__file__).resolve().parents[2]
MB = 1_000_000


@dataclass
class GatewayProcess:
    """Its port and its id."""

    port: int
    pid: int

    @property
    def resident_bytes(self) -> int:
        """What of it is in memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def wire(self, *, small_window: bool = False) -> Wire:
        """A connection to it."""
        return await Wire.open(self.port, small_window=small_window)

    async def most_resident(self, end: asyncio.Event) -> int:
        """The most that was in memory at any moment until `end`."""
        most = 0
        while not end.is_set():
            most = max(most, self.resident_bytes)
            await asyncio.sleep(0.005)
        return most


@asynccontextmanager
async def gateway_process(
    environ: Mapping[str, str], port: int, folder: Path
) -> AsyncIterator[GatewayProcess]:
    """One worker as `sluice serve` starts it, listening on the port."""
    own = {
        "SLUICE_PORT": str(port),
        "SLUICE_DATA_DIR": str(folder),
        **{f"SLUICE_{name.upper()}": value for name, value in SECRETS.items()},
        "PYTHONPATH": str(ROOT),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "serve",
        "--child",
        "0",
        env={**os.environ, **environ, **own},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _listens(port)
        yield GatewayProcess(port, child.pid)
    finally:
        child.terminate()
        try:
            assert await asyncio.wait_for(child.wait(), 2 * PATIENCE_S) == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def _listens(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        return
