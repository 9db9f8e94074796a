"""Request ids: UUIDv7, whose time names the month in which the ledger keeps the outcome."""

import os
import time
from typing import Final

_RANDOM_BYTES: Final = 10
_DIGITS: Final = 2 * _RANDOM_BYTES
# Drawing costs a call of the kernel, as much as all the rest; so it is done for many at once.
_AT_ONCE: Final = 200
# RFC 9562: the two highest bits of this digit are 10.
_VARIANTS: Final = {f"{digit:x}": f"{8 | digit & 3:x}" for digit in range(16)}


class RequestIds:
    """Makes one id after another."""

    def __init__(self) -> None:
        self._drawn = ""
        self._at = 0

    def new(self) -> str:
        """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 74 random bits."""
        at = self._at
        if at == len(self._drawn):
            self._drawn, at = os.urandom(_AT_ONCE * _RANDOM_BYTES).hex(), 0
        end = self._at = at + _DIGITS
        return _uuid(self._drawn[at:end])


def new_request_id() -> str:
    """The same, for who makes few."""
    return _uuid(os.urandom(_RANDOM_BYTES).hex())


def _uuid(text: str) -> str:
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    variant = _VARIANTS[text[3]]
    return f"{stamp[:8]}-{stamp[8:]}-7{text[:3]}-{variant}{text[4:7]}-{text[7:19]}"
