"""How a process of ours runs: fast event loop, signals into an event, logs as lines.

Sole importer of uvloop. Refuses to swallow a second signal: it ends the process at once.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run to the end on uvloop; answers the exit code."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def stop_event() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def heed() -> None:
        if stop.is_set():
            sys.exit(1)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heed)
    return stop


def log_to_stderr(name: str) -> None:
    """Warnings and worse, one line each, with the name of the process."""
    form = f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format=form)
