"""What a service manager is told: that we are ready, and that we are stopping (sd_notify(3)).

Refuses to fail when there is none, or when it does not listen.
"""

import contextlib
import socket
from collections.abc import Mapping

READY = b"READY=1"
STOPPING = b"STOPPING=1"


def notify(environ: Mapping[str, str], message: bytes) -> None:
    """One message, if somebody wants it."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message, "\0" + address[1:] if address.startswith("@") else address)
