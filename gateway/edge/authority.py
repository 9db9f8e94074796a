"""What may stand in a Host header or before the path of an absolute target: RFC 3986, 3.2.2-3.2.3.

Refuses user info, other characters, and ports that there are none: who reads a host differently
from another is how requests are smuggled past one of them.
"""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]"
    r"|\[[vV][0-9A-Fa-f]{1,8}\.[\w.~!$&'+*(),;=:-]{1,200}\]"
    r"|(?:[\w.~!$&'+*(),;=-]|%[0-9A-Fa-f]{2}){0,255})"
    r"(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)
_MOST_KNOWN: Final = 1_000
_MOST_PORT: Final = 65_535


def is_authority(text: str) -> bool:
    """Whether it is `host` or `host:port`; an empty host is one."""
    found = _AUTHORITY.fullmatch(text)
    if found is None or int(found["port"] or 0) > _MOST_PORT:
        return False
    if found["v6"] is None:
        return True
    try:
        IPv6Address(found["v6"])
    except AddressValueError:
        return False
    return True


class Authorities:
    """The same, remembering what was right: a gateway is called by few names."""

    def __init__(self) -> None:
        self.known: set[str] = {""}

    def accepts(self, text: str) -> bool:
        """Whether it is one; look into `known` first."""
        if not is_authority(text):
            return False
        if len(self.known) < _MOST_KNOWN:
            self.known.add(text)
        return True
