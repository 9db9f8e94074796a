"""Workers: `run_once() -> int` repeated for ever, with a pause when there was nothing to do.

Refuses to die: a failure is counted by the caller's hook and tried again after a growing pause; the
log tells it ever more rarely while it lasts, and its end. Tests call `run_once` themselves and
never need this file.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from gateway.errors import Fault

_LOG = logging.getLogger("sluice.loop")


async def forever(
    run_once: Callable[[], Awaitable[int]],
    *,
    name: str,
    idle_ms: int,
    failed: Callable[[], None] = lambda: None,
    longest_pause_ms: int = 2_000,
) -> None:
    """Call `run_once` until cancelled: at once again while it did something, else after a pause."""
    failures = 0
    while True:
        pause_ms = idle_ms
        try:
            done = await run_once()
            if failures > 1:
                _LOG.info("%s: works again, after %d failures", name, failures)
            failures = 0
            if done:
                pause_ms = 0
        except Fault as fault:
            failures += 1
            failed()
            # The 1st, 2nd, 4th, 8th...: a store that is away for an hour is no reason for a flood.
            if not failures & (failures - 1):
                _LOG.warning("%s: %s: %s (failure %d)", name, type(fault).__name__, fault, failures)
        except Exception:
            failures += 1
            failed()
            _LOG.exception("%s: unexpected failure", name)
        if failures:
            growing = min(longest_pause_ms, idle_ms * 2 ** min(failures, 10))
            pause_ms = int(growing * (0.5 + random.random() / 2))
        await asyncio.sleep(pause_ms / 1_000)
