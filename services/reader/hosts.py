"""Host names as a browser reads them: one canonical form for every way to write the same host.

Refuses what cannot be a host; and knows the names that never mean a public host. Pure.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote

LABEL_CHARACTERS: Final = 63
HOST_CHARACTERS: Final = 253
DOTS: Final = str.maketrans({"。": ".", "．": ".", "｡": "."})
FORBIDDEN: Final = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
# Names that resolvers answer from the machine or the site itself, never from the public DNS.
INTERNAL_SUFFIXES: Final = (
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "lan",
    "home.arpa",
    "in-addr.arpa",
    "ip6.arpa",
    "onion",
)
INTERNAL_NAMES: Final = frozenset({"ip6-localhost", "ip6-loopback", "metadata", "instance-data"})


def canonical(text: str) -> str | None:
    """The host in lower case, IDNA form or standard address form; None if it is no host.

    A name whose last label is a number is an IPv4 address in one of its spellings (octal, hex,
    decimal, fewer parts), as the URL standard has it, or no host at all. IPv6 has no brackets.
    """
    if text.startswith("[") and text.endswith("]"):
        return _ipv6(text[1:-1])
    name = normalize("NFKC", unquote(text, errors="replace")).translate(DOTS).lower()
    name = "".join(character for character in name if character not in "\u00ad\u200b\u2060\ufeff")
    if not name.isascii():
        try:
            name = name.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return None
    name = name.removesuffix(".")
    if not name or len(name) > HOST_CHARACTERS or FORBIDDEN.search(name):
        return None
    labels = name.split(".")
    if any(not label or len(label) > LABEL_CHARACTERS for label in labels):
        return None
    if NUMBER.fullmatch(labels[-1]):
        return _ipv4(labels)
    return name


def is_internal_name(host: str) -> bool:
    """Whether the canonical name `host` can only mean something inside this machine or site."""
    if host in INTERNAL_NAMES:
        return True
    return any(host == suffix or host.endswith("." + suffix) for suffix in INTERNAL_SUFFIXES)


def _ipv6(text: str) -> str | None:
    try:
        return str(IPv6Address(unquote(text)))
    except AddressValueError:
        return None


def _ipv4(labels: list[str]) -> str | None:
    """The address of one to four numbers, the last of which fills the rest."""
    if len(labels) > 4:
        return None
    numbers = [_number(label) for label in labels]
    if any(number is None for number in numbers):
        return None
    *heads, last = [number for number in numbers if number is not None]
    if any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        return None
    value = last
    for index, head in enumerate(heads):
        value += head << (8 * (3 - index))
    return str(IPv4Address(value))


def _number(label: str) -> int | None:
    if not NUMBER.fullmatch(label) or len(label) > 64:
        return None
    if label[:2] in ("0x", "0X"):
        return int(label[2:] or "0", 16)
    if label.startswith("0") and len(label) > 1:
        return int(label, 8) if set(label) <= set("01234567") else None
    return int(label)
