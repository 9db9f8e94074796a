"""`sluice worker`: what one process per machine does beside the gateways.

Adopts spools of dead gateways, releases orphaned holds, brings changes of keys to Redis, makes
next month's partitions. Refuses to serve clients.
"""

import argparse
from contextlib import AsyncExitStack

from gateway import app
from gateway.commands.running import log_to_stderr, run, stop_event
from gateway.settings import Settings

HELP = "run the background work: adopt dead spools, release orphaned holds, tell Redis of changes"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """None: everything is a setting."""


def execute(settings: Settings, _arguments: argparse.Namespace) -> int:
    """Run until a signal; 0."""
    log_to_stderr("worker", settings)
    return run(_run(settings))


async def _run(settings: Settings) -> int:
    stop = stop_event()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(settings, "worker"))
        await stack.enter_async_context(app.background(base))
        await stop.wait()
    return 0
