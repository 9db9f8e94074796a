"""Who asks without a key: the client's address, believed only from trusted proxies.

Refuses to raise, and to let a client choose: what a client writes into X-Forwarded-For stands left
of what the proxies wrote, and only the rightmost hop that no trusted proxy owns is taken.
"""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from multidict import MultiMapping

# A chain of proxies longer than this is not one; the work per request stays bounded.
_MAX_HOPS: Final = 32
_MAX_HOP_CHARACTERS: Final = 64
_CACHE_ENTRIES: Final = 8_192
# The bucket of whoever comes through a unix socket: there is no address to tell them apart.
LOCAL_BUCKET: Final = "local"
# An IPv6 customer owns a whole /64, so single addresses of it are free to choose.
_IPV6_HOST_BITS: Final = 64
_IPV4_MAPPED: Final = 0xFFFF
_NAT64: Final = IPv6Network("64:ff9b::/96")

_Address = IPv4Address | IPv6Address


class Addresses:
    """Turns a peer and its X-Forwarded-For into a bucket: an IPv4 address or an IPv6 /64.

    `trusted` are CIDRs of proxies. Equal clients get equal buckets, whatever the spelling.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        networks = [ip_network(each, strict=False) for each in trusted]
        self._trusted = bool(networks)
        self._trusted_v4 = [each for each in networks if isinstance(each, IPv4Network)]
        self._trusted_v6 = [each for each in networks if isinstance(each, IPv6Network)]
        # peer or hop text -> (bucket, whether it is a trusted proxy); None: no address.
        self._known: dict[str, tuple[str, bool] | None] = {}

    def client(self, peer: str | None, headers: MultiMapping[str]) -> str:
        """The bucket of a request from the socket address `peer` with these headers."""
        if not self._trusted:
            return self.bucket(peer)
        return self.bucket(peer, headers.getall("X-Forwarded-For", ()))

    def bucket(self, peer: str | None, forwarded_for: Sequence[str] = ()) -> str:
        """The bucket of a request from the socket address `peer`.

        `forwarded_for` are the values of all X-Forwarded-For lines in the order received.
        """
        if not peer:
            return LOCAL_BUCKET
        found = self._look(peer)
        if found is None:
            return LOCAL_BUCKET
        bucket, is_proxy = found
        if not is_proxy or not forwarded_for:
            return bucket
        return self._behind_proxies(bucket, forwarded_for)

    def _behind_proxies(self, bucket: str, forwarded_for: Sequence[str]) -> str:
        """The rightmost hop that is no trusted proxy; the last good one where a hop is garbage."""
        hops = 0
        for line in reversed(forwarded_for):
            for hop in reversed(line.rsplit(",", _MAX_HOPS)):
                hops += 1
                found = self._look(hop.strip()) if hops <= _MAX_HOPS else None
                if found is None:
                    return bucket
                bucket, is_proxy = found
                if not is_proxy:
                    return bucket
        return bucket

    def _look(self, text: str) -> tuple[str, bool] | None:
        try:
            return self._known[text]
        except KeyError:
            pass
        if len(text) > _MAX_HOP_CHARACTERS:
            return None
        address = parse_address(text)
        found = None if address is None else (_bucket_of(address), self._is_trusted(address))
        if len(self._known) >= _CACHE_ENTRIES:
            # Cheaper than keeping an order, and a flood of new addresses gains nothing by it.
            self._known.clear()
        self._known[text] = found
        return found

    def _is_trusted(self, address: _Address) -> bool:
        if isinstance(address, IPv4Address):
            return any(address in network for network in self._trusted_v4)
        return any(address in network for network in self._trusted_v6)


def parse_address(text: str) -> _Address | None:
    """The address of a hop: plain, `[v6]`, with a port, with a zone; None for anything else.

    IPv4 in IPv6 (mapped, or through NAT64) is the IPv4 address.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        number = int(address)
        if number >> 32 == _IPV4_MAPPED or address in _NAT64:
            return IPv4Address(number & 0xFFFF_FFFF)
    return address


def _bucket_of(address: _Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    network = int(address) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS
    return f"{IPv6Address(network)}/64"
