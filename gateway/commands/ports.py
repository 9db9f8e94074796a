"""Ports of this machine: whether one is free, which one to take when any will do, who listens.

Refuses the range from which Linux takes outgoing connections' ports: a listener there would
collide with them now and then.
"""

import asyncio
import errno
import random
import socket
from collections.abc import Container
from pathlib import Path

# Below net.ipv4.ip_local_port_range, which begins at 32768; above what people use by hand.
_FIRST, _BEYOND = 20_000, 32_000


def why_not(host: str, port: int) -> str | None:
    """What keeps us from listening there, as one sentence; None if nothing does."""
    # Also while connections of an earlier listener linger there.
    error = _refused(host, port, reuse=True)
    return None if error is None else _sentence(host, port, error)


def any_free(host: str, *, preferred: int = 0, but: Container[int] = ()) -> int:
    """A free port: `preferred` if it suits, else a random one outside the outgoing range.

    None of `but`: what was chosen a moment ago, and nobody listens on yet, looks free.
    """
    if 0 < preferred < _BEYOND and preferred not in but and why_not(host, preferred) is None:
        return preferred
    for port in random.sample(range(_FIRST, _BEYOND), 50):
        # Nor one that somebody has bound and does not listen on yet.
        if port not in but and _refused(host, port, reuse=False) is None:
            return port
    raise OSError(errno.EADDRINUSE, f"no free port on {host} between {_FIRST} and {_BEYOND}")


def reachable(bind: str) -> str:
    """Where on this machine to reach what listens on `bind`: a wildcard is no address to call."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind, bind)  # noqa: S104 - not listened on


async def accepts(path: Path) -> bool:
    """Whether somebody listens on that unix socket; a file alone says nothing."""
    try:
        _, writer = await asyncio.open_unix_connection(str(path))
    except OSError:
        return False
    writer.close()
    return True


def _refused(host: str, port: int, *, reuse: bool) -> OSError | None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Never SO_REUSEPORT: a listener that shares its port is in our way as well.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        try:
            probe.bind((host, port))
        except OSError as error:
            return error
    return None


def _sentence(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is already in use"
    if error.errno == errno.EACCES:
        return f"port {port} needs root, or the capability CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine"
    return f"cannot listen on {host} port {port}: {error.strerror}"
