"""Which addresses an owner's webhook may have: public ones, and those that an operator allowed.

Refuses everything that could reach this machine or its network, in whatever way it is written:
private, local, shared and reserved networks, and IPv6 addresses that stand for such an IPv4 one.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

# What a translator turns into the IPv4 address in its last 32 bits.
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_HOST: Final = re.compile(r"[0-9a-z._-]+|[0-9a-f:.]+(?:%[0-9a-z]+)?")
_PORTS: Final = {"http": 80, "https": 443}


def is_public(text: str) -> bool:
    """Whether this IP address is one that anybody may be asked to call."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_plain(each) for each in _all_of(address))


def origin_of(url: str) -> str | None:
    """Scheme, host and port; None if it is no address of a web server.

    Hosts are names and numbers in ASCII: a client library folds others, so that `127。0。0。1` is
    a name here and a number there. Names of other scripts have their `xn--` form.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or parts.username is not None:
        return None
    if not parts.hostname or _HOST.fullmatch(parts.hostname) is None:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port or _PORTS[parts.scheme]}"


def is_allowed(url: str, allowed: Collection[str]) -> bool:
    """Whether an operator named the origin; one named without a port stands for all its ports."""
    origin = origin_of(url)
    if origin is None:
        return False
    bare = origin.rpartition(":")[0]
    return any(one.rstrip("/") in (origin, bare) for one in allowed)


def _plain(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _all_of(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and the IPv4 addresses that it stands for."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    found: list[IPv4Address | IPv6Address] = [address]
    if any(address in network for network in _TRANSLATED):
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found.extend(address.teredo)
    return found
