"""The SSRF guard: resolves a target's host once, judges every address, and pins the connection.

It refuses private and internal targets (451), targets on this deployment's own doors (451, a
circle), and names that do not resolve (400). Only origins named in READER_ALLOW pass though
private. What was judged is what is connected to: the connector asks no resolver a second time,
and the socket factory below refuses any other address, whatever led there.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType

from services.reader.addresses import Address, parse, refused
from services.reader.hosts import is_internal_name
from services.reader.refusals import Refusal, bad_option, security_compromise
from services.reader.target import Target
from services.settings import Origin

# The names of the public doors under DOMAIN; a target there would ask us to read ourselves.
OWN_LABELS: Final = ("r", "s", "api", "deepsearch", "dash", "segment")
# getaddrinfo blocks a thread for as long as a name server is silent; so many may be silent at once.
RESOLVER_THREADS: Final = 64
ADDRESSES_TRIED: Final = 4

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefusedError(OSError):
    """A connection was about to go to an address that was not judged."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """A target and the addresses that were judged for it: the only ones to connect to."""

    target: Target
    addresses: tuple[Address, ...]


class Guard:
    """Judges targets. `lookup` answers the addresses of a name, or raises OSError."""

    def __init__(
        self,
        lookup: Lookup,
        *,
        domain: str,
        allowed: frozenset[Origin],
        own_origins: frozenset[Origin],
    ) -> None:
        self._lookup = lookup
        self._allowed = allowed
        self._own_origins = own_origins - allowed
        self._own_hosts = frozenset({domain, *(f"{label}.{domain}" for label in OWN_LABELS)})

    async def judge(self, target: Target) -> Pinned | Refusal:
        """The target pinned to its addresses, or why it must not be fetched."""
        host = target.host
        allowed = target.origin in self._allowed
        if not allowed:
            if host in self._own_hosts or target.origin in self._own_origins:
                return security_compromise(f"Circular hostname: {host}")
            if is_internal_name(host):
                return _private(host)
        addresses = await self._addresses(target)
        if isinstance(addresses, Refusal):
            return addresses
        if not allowed and any(refused(address) for address in addresses):
            return _private(host)
        return Pinned(target, addresses)

    async def _addresses(self, target: Target) -> tuple[Address, ...] | Refusal:
        literal = parse(target.host)
        if literal is not None:
            return (literal,)
        try:
            texts = await self._lookup(target.host, target.port)
        except (OSError, UnicodeError):
            texts = ()
        found = [parse(text) for text in dict.fromkeys(texts)]
        if not found or any(address is None for address in found):
            return bad_option("url", f"Domain {target.host!r} could not be resolved")
        return tuple(address for address in found if address is not None)


class SystemLookup:
    """Names by the system's resolver, in threads of its own so that silence blocks nobody else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        rows = await loop.run_in_executor(self._threads, _system_lookup, host, port)
        return [str(row[4][0]) for row in rows]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def connector(pinned: Pinned, tls: ssl.SSLContext) -> aiohttp.TCPConnector:
    """A connector that can reach the judged addresses of one target and nothing else."""
    allowed = {(str(address), pinned.target.port) for address in pinned.addresses}

    def open_socket(address: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address
        if (str(where[0]), where[1]) not in allowed:
            raise AddressRefusedError(f"{where[0]} port {where[1]} was not judged")
        opened = socket.socket(family, kind, protocol)
        opened.setblocking(False)
        return opened

    return aiohttp.TCPConnector(
        resolver=_PinnedResolver(pinned),
        socket_factory=open_socket,
        ssl=tls,
        use_dns_cache=False,
        limit=1,
        force_close=True,
    )


class _PinnedResolver(AbstractResolver):
    """Answers the judged addresses for the judged host; knows no other name."""

    def __init__(self, pinned: Pinned) -> None:
        self._pinned = pinned

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host.rstrip(".") != self._pinned.target.host:
            raise AddressRefusedError(f"{host!r} was not judged")
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._pinned.addresses[:ADDRESSES_TRIED]
            if family in (socket.AF_UNSPEC, _family(address))
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _private(host: str) -> Refusal:
    return security_compromise(f"Suspicious action: Request to localhost or non-public IP: {host}")


def _system_lookup(host: str, port: int) -> list[tuple[int, int, int, str, tuple[object, ...]]]:
    return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
