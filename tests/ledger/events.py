"""Outcome events for tests: request ids at a chosen moment, arrays in the order of the contract."""

import time
from uuid import UUID

import orjson

Event = list[int | str | None]
INSTANCE = "node/1"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def request_id(number: int, *, at_ms: int | None = None) -> str:
    """The UUIDv7 of a moment whose random part is `number`."""
    stamp = (now_ms() if at_ms is None else at_ms) << 80
    return str(UUID(int=stamp | 0x7 << 76 | 0x2 << 62 | number))


def charge(request: str, key_id: int, cost: int, number: int = 1, **other: int | str) -> Event:
    at_ms = int(request.replace("-", "")[:12], 16)
    event: dict[str, int | str | None] = {
        "request_id": request,
        "kind": "charge",
        "key_id": key_id,
        "product": "embeddings",
        "cost": cost,
        "reported": cost,
        "held": cost + 5,
        "outcome": "complete",
        "rule": "tokens of the input",
        "http_status": 200,
        "number": number,
        "admitted_ms": at_ms,
        "decided_ms": at_ms + 20,
        "instance": INSTANCE,
    }
    return list((event | other).values())


def void(request: str, key_id: int | None, number: int = 1, **other: int | str) -> Event:
    event = charge(request, 0, 0, number, kind="void", outcome="service_failed", **other)
    event[2], event[5] = key_id, None
    return event


def batch(*events: Event) -> bytes:
    return orjson.dumps(events)
