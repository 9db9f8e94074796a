"""A gateway process whose spool stops at two points when the test asks for it.

    python -m tests.faults.watched serve --child 0

Between "decided" and "durable", and between "durable" and the last byte, no byte crosses a network
that a proxy could see; so the thread that writes the spool asks the test there, over a unix socket,
and goes on when it is answered. While the file `armed` beside the socket is not there it asks
nothing. Everything else is the gateway as it is.
"""

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from gateway.__main__ import main
from gateway.metering import spool
from gateway.metering.spool_files import Position
from gateway.metering.spool_writer import SpoolWriter
from tests.faults import WATCH_VARIABLE


class WatchedWriter(SpoolWriter):
    """Asks before and after each group that has outcomes in it."""

    def write(
        self,
        events: Sequence[bytes],
        delivered: Sequence[int],
        carried: Sequence[tuple[int, str]],
    ) -> Position:
        if events:
            _ask("decided")
        end = super().write(events, delivered, carried)
        if events:
            _ask("durable")
        return end


def _ask(point: str) -> None:
    folder, _, place = os.environ[WATCH_VARIABLE].rpartition(":")
    if not Path(folder, "armed").exists():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(30)
        line.connect(str(Path(folder, "watch")))
        line.sendall(f"{point} {place}\n".encode())
        line.recv(1)


if __name__ == "__main__":
    # The name under which a spool finds its writer.
    setattr(spool, "SpoolWriter", WatchedWriter)  # noqa: B010
    sys.exit(main())
