"""The header Idempotency-Key: the client's name for a thing to be done once.

Refuses to guess: two of them, or one that could be written in two ways, are a mistake. Refuses to
hand on what looks like a key, since names are kept for a day: its digest is the name then.
"""

import re
from hashlib import sha256
from typing import Final

from multidict import CIMultiDictProxy

from gateway.edge.refusals import idempotency_key_unreadable
from gateway.errors import Problem

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "idempotent-replayed"
_NAME: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
# What our keys look like under any prefix, and what is left of one that was cut.
_LIKE_A_KEY: Final = re.compile(r"_[0-9A-Za-z]{30}")


def repeat_name(headers: CIMultiDictProxy[str]) -> str | Problem | None:
    """The name, None where there is none, or why it is none."""
    if HEADER not in headers:
        return None
    names = set(headers.getall(HEADER))
    name = names.pop()
    if names or _NAME.fullmatch(name) is None:
        return idempotency_key_unreadable()
    if _LIKE_A_KEY.search(name) is not None:
        return f"sha256:{sha256(name.encode('ascii')).hexdigest()}"
    return name
