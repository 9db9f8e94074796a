"""How a customer proves his usage export: canonical lines, digests of days, the tree over all keys.

1. A line of the export is 13 fields; its canonical form has tabs between them.
2. A key's day: SHA-256 of a seed (key, day, digest of its day before), then, line by line,
   SHA-256 of the digest so far and the line.
3. A day of all keys: a tree of SHA-256 whose leaves are the keys' days; its root, with the day and
   the digest of the day before, gives the digest that is published.

Refuses I/O. `close_day` in sql/schema.sql makes the same bytes; a test compares.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

FIELDS: Final = (
    "seq",
    "kind",
    "request_id",
    "product",
    "outcome",
    "rule",
    "tokens",
    "from_trial",
    "from_paid",
    "shortfall",
    "reported",
    "decided_at",
    "posted_at",
)
NUMBERS: Final = frozenset(("seq", "tokens", "from_trial", "from_paid", "shortfall", "reported"))
SEPARATOR: Final = "\t"
NOTHING: Final = bytes(32)
_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class KeyDay:
    """A closed day of one key: its lines above `after_seq` up to `upto_seq`.

    `path` leads from the key's digest to the root of the day: per level the neighbour's hash and
    whether the neighbour stands on the left.
    """

    day: str
    after_seq: int
    upto_seq: int
    lines: int
    tokens: int
    previous: bytes
    digest: bytes
    path: Sequence[tuple[bool, bytes]] = ()


@dataclass(frozen=True, slots=True)
class ClosedDay:
    """What is published of a day."""

    day: str
    previous: bytes
    root: bytes
    digest: bytes


def seed(key_id: int, day: str, previous: bytes) -> bytes:
    """Where the chain of a key's day begins."""
    return sha256(f"sluice-usage-1\n{key_id}\n{day}\n{previous.hex()}\n".encode()).digest()


def link(digest: bytes, line: str) -> bytes:
    """The digest after one more canonical line."""
    # What is no UTF-8 in a file that was read with surrogates is what it was.
    return sha256(digest + line.encode("utf-8", "surrogateescape")).digest()


def root_of(digest: bytes, path: Sequence[tuple[bool, bytes]]) -> bytes:
    """The root to which a path leads from a key's digest."""
    found = sha256(_LEAF + digest).digest()
    for on_the_left, neighbour in path:
        pair = neighbour + found if on_the_left else found + neighbour
        found = sha256(_NODE + pair).digest()
    return found


def day_digest(day: str, previous: bytes, root: bytes) -> bytes:
    """What is published of a day."""
    return sha256(f"sluice-day-1\n{day}\n{previous.hex()}\n{root.hex()}\n".encode()).digest()
