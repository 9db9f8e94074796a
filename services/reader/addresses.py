"""Which internet addresses are public: the rule of the SSRF guard. Pure.

Refuses everything that is not plainly a unicast address of the public internet, and looks through
every way of writing an IPv4 address inside an IPv6 one.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Address = IPv4Address | IPv6Address

# Written out, and not left to `is_global`, because its answer has changed between Python releases.
CLOSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; also 100.100.100.200, a metadata service
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address that one cloud uses for its host agent
        "169.254.0.0/16",  # link-local; also 169.254.169.254, the metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; also 192.0.0.192, a metadata service
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)

# Only 2000::/3 is handed out as global unicast; within it, these are not.
OPEN_V6: Final = IPv6Network("2000::/3")
CLOSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
        "2001:db8::/32",
        "2002::/16",  # 6to4: a tunnel to any IPv4 address
        "3fff::/20",
        "2620:4f:8000::/48",
    )
)
NAT64: Final = IPv6Network("64:ff9b::/96")


def refused(address: Address) -> bool:
    """Whether the guard must not connect to `address`."""
    if isinstance(address, IPv4Address):
        return any(address in network for network in CLOSED_V4)
    inner = embedded_v4(address)
    if inner is not None:
        return refused(inner)
    if address.scope_id is not None or address not in OPEN_V6:
        return True
    return any(address in network for network in CLOSED_V6)


def embedded_v4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to `address` would reach, for the forms where that is sound.

    IPv4-mapped is the same host; NAT64 is how an IPv6-only machine reaches the IPv4 internet, so
    public targets must pass. Other tunnels (6to4, Teredo, ISATAP) are refused as a whole.
    """
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def parse(text: str) -> Address | None:
    """The address written in its standard form, or None."""
    try:
        return ip_address(text)
    except ValueError:
        return None
