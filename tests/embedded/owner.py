"""A program that owns both servers and a child with a child of its own; for tests that kill it.

Prints `ready <dsn> <redis url>` and then what its supervisor says, until SIGTERM.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from gateway.embedded.child import ChildSpec
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.supervisor import Process, Supervisor

# The child's child asks the kernel for the same, as the contract of `child` demands of it.
_SLEEPER = "setpriv --pdeathsig KILL -- sleep 1000 & wait"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _main(folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    supervisor = Supervisor(_say)
    try:
        await supervisor.add(postgres, redis)
        sleeper = ChildSpec("sleeper", ["/bin/sh", "-c", _SLEEPER], {"PATH": os.defpath})
        await supervisor.add(Process(sleeper))
        _say(f"ready {postgres.dsn} {redis.url}")
        await stop.wait()
    finally:
        await supervisor.stop()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
