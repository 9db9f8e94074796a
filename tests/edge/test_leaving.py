"""A listener that closes while another one of its port goes on takes nobody along."""

import asyncio
import socket

from gateway.app import listening_socket
from gateway.edge.leaving import refuse_handshakes

CLIENTS = 24


async def _connect(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    async with asyncio.timeout(60):
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    return sock


def _taken(listening: socket.socket) -> int:
    """How many wait in its queue; they are taken."""
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


async def test_handshakes_that_it_refuses_begin_again_at_the_other_one() -> None:
    """Nobody is reset: who had connected before is in its queue, everybody else at the other."""
    leaving = listening_socket("127.0.0.1", 0)
    port = leaving.getsockname()[1]
    staying = listening_socket("127.0.0.1", port)
    leaving.listen(128)
    staying.listen(128)
    before = await asyncio.gather(*(_connect(port) for _ in range(CLIENTS)))
    refuse_handshakes(leaving)
    after = [asyncio.create_task(_connect(port)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.1)
    # Those whose handshake would have begun there wait, and none of them is in its queue.
    waiting = sum(not task.done() for task in after)
    assert 0 < waiting < CLIENTS
    there = _taken(leaving)
    leaving.close()
    connected = await asyncio.gather(*after)
    assert there + _taken(staying) == 2 * CLIENTS
    staying.close()
    for sock in (*before, *connected):
        sock.close()
