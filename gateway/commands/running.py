"""How a process of ours runs: fast event loop, signals into an event, logs as lines.

Sole importer of uvloop. Refuses to swallow a second signal: it ends the process at once.
"""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop

from gateway.settings import Settings
from gateway.telemetry.logs import log_to

# Python's own 700 is less than what some dozens of open requests have, whose coming and going then
# sets off collections that find nothing: 4 % of a gateway's CPU. This many are some 2 MB. The older
# ones are looked at with every third: that is cheap now, and a closed connection is garbage in a
# circle, which would wait for hours among them.
_YOUNG_OBJECTS: Final = 10_000


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run to the end on uvloop; answers the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def keep_what_stands() -> None:
    """What was made up to here lives as long as the process: collections pass over it.

    A full one of the some 60,000 objects of a gateway stops its loop for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 2, 2)


@dataclass(frozen=True, slots=True)
class Signals:
    """What a process was told: to stop, or to be (or be replaced by) a new one."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    again: asyncio.Event = field(default_factory=asyncio.Event)

    async def either(self) -> None:
        """Wait for one of them."""
        waits = [asyncio.create_task(each.wait()) for each in (self.stop, self.again)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()


def stop_event() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM."""
    return signals().stop


def signals(*again: signal.Signals) -> Signals:
    """SIGINT and SIGTERM stop, `again` ask for a new process."""
    told = Signals()
    loop = asyncio.get_running_loop()

    def heed() -> None:
        if told.stop.is_set():
            sys.exit(1)
        told.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heed)
    for number in again:
        loop.add_signal_handler(number, told.again.set)
    return told


def log_to_stderr(name: str, settings: Settings) -> None:
    """Warnings and worse with the name of the process, in the form of the settings."""
    log_to(sys.stderr, name, settings.log_format, settings.key_prefix)


def log_ends(text: str) -> None:
    """What a supervisor says of its children, as a line of the log."""
    logging.getLogger("sluice.supervisor").warning("%s", text)
