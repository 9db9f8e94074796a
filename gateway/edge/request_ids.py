"""Request ids: UUIDv7, whose time names the month in which the ledger keeps the outcome."""

import os
import time


def new_request_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, 74 random bits."""
    text = os.urandom(10).hex()
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    variant = "89ab"[int(text[3], 16) & 3]
    return f"{stamp[:8]}-{stamp[8:]}-7{text[:3]}-{variant}{text[4:7]}-{text[7:19]}"
