"""A process that appends to a spool as fast as it may and says what became of each outcome.

python -m tests.metering.appender ROOT; prints `ok <request id>` or `told <request id>` (the disk
failed), both only once the future is done. Ends cleanly when its stdin does.
"""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.errors import SpoolUnavailable
from gateway.metering.spool import Spool
from tests.metering.outcomes import INSTANCE, event, settlement

_AT_A_TIME = 20


async def _main(root: Path) -> None:
    spool = Spool(root, INSTANCE, segment_bytes=50_000)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), stop.set)
    numbers = iter(range(1, 10**9))
    tasks = [asyncio.create_task(_append(spool, numbers, stop)) for _ in range(_AT_A_TIME)]
    await asyncio.gather(*tasks)
    await spool.close()


async def _append(spool: Spool, numbers: Iterator[int], stop: asyncio.Event) -> None:
    while not stop.is_set():
        number = next(numbers)
        outcome = event(number)
        try:
            await spool.append(outcome.encode(), number, settlement(outcome))
        except SpoolUnavailable:
            _say("told", outcome.request_id)
        else:
            _say("ok", outcome.request_id)
        if number % 2:
            spool.delivered(number)


def _say(word: str, request_id: str) -> None:
    sys.stdout.write(f"{word} {request_id}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
