"""How a gateway process leaves so that no client notices: lame duck, last handshakes, quiet, drain.

1. From the first moment each answer says `connection: close`, and readiness says no.
2. For the lame-duck time it serves whoever comes: a balancer needs it to notice.
3. Nothing new is let begin (`refuse_handshakes`), what has begun is taken, then nobody listens.
4. A connection ends once nothing was asked on it for a second; requests get the drain to finish.

Refuses to close a listener with clients in its queue: the kernel would reset them.
"""

import asyncio
import socket
import struct
from array import array
from dataclasses import dataclass
from typing import Final

from gateway.edge.server import Server

# Longer than a round trip to any client: whose handshake has begun completes it.
HANDSHAKES_S: Final = 0.2
# Who has just connected or has just been answered gets so long to ask (again).
_QUIET_S: Final = 1.0
_POLL_S: Final = 0.02
_SO_ATTACH_FILTER: Final = 26
# Classic BPF over the TCP header: of the flags, SYN without ACK is dropped, all else passes.
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 0),
    (0x06, 0, 0, 0xFFFFFFFF),
)


@dataclass(frozen=True, slots=True)
class Leave:
    """`own` is the listening socket if nobody else accepts from it; it takes no handshake more."""

    lame_duck_s: float
    drain_s: float
    own: socket.socket | None


def refuse_handshakes(listening: socket.socket) -> None:
    """Let no handshake begin here any more, without a reset: the client's kernel tries again.

    A second later that is, by when another listener of the port has it. Raises OSError.
    """
    code = array("B", b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    program = struct.pack("HP", len(_DROP_SYN), code.buffer_info()[0])
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


async def leave(server: Server, listener: asyncio.Server, how: Leave) -> None:
    """Serve to the end as above; afterwards no connection is left."""
    loop = asyncio.get_running_loop()
    server.retiring = True
    await asyncio.sleep(how.lame_duck_s)
    if how.own is not None:
        refuse_handshakes(how.own)
    await asyncio.sleep(HANDSHAKES_S)
    listener.close()
    until_s = loop.time() + how.drain_s
    while server.close_quiet(_QUIET_S):
        if loop.time() >= until_s:
            break
        await asyncio.sleep(_POLL_S)
    # Not 0, which aiohttp takes for ever.
    await server.shutdown(max(until_s - loop.time(), 0.001))
