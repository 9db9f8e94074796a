"""The listening sockets of one machine, held by the parent so that they outlive its gateways.

A socket that closes takes the clients in its queue along. So each gateway process inherits one that
its successor inherits as well; under systemd they are the service manager's and outlive us too.
Refuses what is no listening socket of TCP.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from gateway import app
from gateway.edge.leaving import HANDSHAKES_S, refuse_handshakes
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

# Where a service manager puts what it listens on for us.
_FIRST_FD = 3


@dataclass(frozen=True, slots=True)
class Doorway:
    """`sockets` one for each gateway process in turn; `ours`: nobody else holds them."""

    sockets: Sequence[socket.socket]
    ours: bool

    @property
    def port(self) -> int:
        """Where clients come in."""
        return int(self.sockets[0].getsockname()[1])

    async def leave(self, lame_duck_s: float) -> None:
        """Close when the gateways do: clients go elsewhere instead of waiting for nobody."""
        await asyncio.sleep(lame_duck_s)
        for each in self.sockets:
            if self.ours:
                refuse_handshakes(each)
        await asyncio.sleep(HANDSHAKES_S / 2)
        self.close()

    def close(self) -> None:
        """Give up our share of them."""
        for each in self.sockets:
            each.close()


def open_doorway(settings: Settings) -> Doorway:
    """Sockets that were handed to us, else of our own. Raises OSError, ConfigurationFault."""
    handed = _handed(settings)
    if handed:
        return Doorway(handed, ours=False)
    sockets = [app.listening_socket(settings.bind, settings.port)]
    port = sockets[0].getsockname()[1]
    # One each, so that the kernel spreads connections evenly over the processes.
    sockets += [app.listening_socket(settings.bind, port) for _ in range(settings.workers - 1)]
    return Doorway(sockets, ours=True)


def _handed(settings: Settings) -> list[socket.socket]:
    """As sd_listen_fds(3) has it; the variables of an ancestor are none of ours."""
    table = settings.environ
    if table.get("LISTEN_PID", "") != str(os.getpid()):
        return []
    count = table.get("LISTEN_FDS", "")
    found = []
    for fd in range(_FIRST_FD, _FIRST_FD + (int(count) if count.isdecimal() else 0)):
        try:
            each = socket.socket(fileno=fd)
            listens = each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        except OSError as error:
            raise ConfigurationFault([f"LISTEN_FDS: {fd} is no socket: {error}"]) from error
        if not listens or each.family not in (socket.AF_INET, socket.AF_INET6):
            raise ConfigurationFault([f"LISTEN_FDS: {fd} does not listen for TCP"])
        each.setblocking(False)
        os.set_inheritable(fd, False)
        found.append(each)
    return found
