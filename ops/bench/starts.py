"""Starting: both servers cold, and everything warm until /health answers."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import ClientError, ClientSession

from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from ops.bench.stack import ROOT, different_ports


async def starts() -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    try:
        postgres, redis = PostgresServer(folder), RedisServer(folder)
        began_s = time.perf_counter()
        await asyncio.gather(postgres.start(), redis.start())
        cold_s = time.perf_counter() - began_s
        await asyncio.gather(postgres.stop(), redis.stop())
        first_s = await _up(folder)
        warm_s = min([await _up(folder) for _ in range(2)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [
        ("cold start of both servers", "<= 2 s", f"{cold_s:.2f} s"),
        ("warm start of everything", "<= 5 s", f"{warm_s:.2f} s"),
        ("  first start of everything, servers made already", "", f"{first_s:.2f} s"),
    ]


async def _up(folder: Path) -> float:
    with different_ports(3) as (door, operations, _):
        own = {"SLUICE_PORT": str(door), "SLUICE_OPS_PORT": str(operations)}
        own |= {"SLUICE_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
        began_s = time.perf_counter()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            "up",
            env=os.environ | own,
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60), ClientSession() as session:
                await _until_healthy(session, door)
            return time.perf_counter() - began_s
        finally:
            child.send_signal(signal.SIGTERM)
            await asyncio.wait_for(child.wait(), 60)


async def _until_healthy(session: ClientSession, port: int) -> None:
    while True:
        if await _healthy(session, port):
            return
        await asyncio.sleep(0.02)


async def _healthy(session: ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/health") as answer:
            return answer.status == 200
    except ClientError:
        return False
