"""The header Idempotency-Key: the client's name for a thing to be done once.

Refuses to guess: two of them, or one that could be written in two ways, are a mistake.
"""

import re
from typing import Final

from multidict import CIMultiDictProxy

from gateway.edge.refusals import idempotency_key_unreadable
from gateway.errors import Problem

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "idempotent-replayed"
_NAME: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def repeat_name(headers: CIMultiDictProxy[str]) -> str | Problem | None:
    """The name, None where there is none, or why it is none."""
    if HEADER not in headers:
        return None
    names = set(headers.getall(HEADER))
    name = names.pop()
    if names or _NAME.fullmatch(name) is None:
        return idempotency_key_unreadable()
    return name
