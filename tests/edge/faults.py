"""What breaks around a gateway: a disk that stands still or fails, a Redis that freezes."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway.embedded.redis_server import RedisServer
from gateway.metering.spool_files import Position
from tests.edge.client import PATIENCE_S
from tests.edge.door import Door


@contextmanager
def frozen_spool(door: Door) -> Iterator[None]:
    """Nothing becomes durable until the end of this."""
    thaw = threading.Event()
    writer = door.node.spool._writer
    write = writer.write

    def wait_and_write(
        events: Sequence[bytes], delivered: Sequence[int], carried: Sequence[tuple[int, str]]
    ) -> Position:
        thaw.wait(6 * PATIENCE_S)
        return write(events, delivered, carried)

    writer.write = wait_and_write  # type: ignore[method-assign]
    try:
        yield
    finally:
        thaw.set()
        writer.write = write  # type: ignore[method-assign]


@contextmanager
def failing_disk(door: Door) -> Iterator[None]:
    """Every write fails until the end of this."""
    writer = door.node.spool._writer
    write = writer.write

    def fail(*_: object) -> Position:
        raise OSError(28, "no space left on device")

    writer.write = fail  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        writer.write = write  # type: ignore[method-assign]


@contextmanager
def frozen_redis(server: RedisServer) -> Iterator[None]:
    """Redis is stopped, as a host that hangs is: it takes connections and says nothing."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
