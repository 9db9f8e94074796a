"""What of an address can be asked for: its host and what that is part of, and its ending. Pure.

It refuses nothing: an address that is none has neither.
"""

from typing import Final
from urllib.parse import urlsplit

PATH_PARTS: Final = 8
EXTENSION_CHARACTERS: Final = 10


def sites_of(url: str) -> list[str]:
    """What `site:` may name: the host and what it is part of, each also with the path's parts."""
    parts = urlsplit(url.lower())
    host = parts.netloc.rpartition("@")[2]
    if not host:
        return []
    labels = host.partition(":")[0].split(".")
    hosts = list(dict.fromkeys([host, *(".".join(labels[at:]) for at in range(len(labels)))]))
    found = list(hosts)
    path = ""
    for part in [part for part in parts.path.split("/") if part][:PATH_PARTS]:
        path += f"/{part}"
        found += [each + path for each in hosts]
    return found


def extension_of(url: str) -> str:
    """The file name extension of the path, or empty."""
    name = urlsplit(url.lower()).path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    right = stem and dot and extension.isalnum() and len(extension) <= EXTENSION_CHARACTERS
    return extension if right else ""
