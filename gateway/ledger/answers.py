"""Requests that are done once: who is at one, and its answer for a day.

Refuses to decide what a repeat means: it tells what is known. Whether a charge was lost with its
gateway, and is given back, is decided in the database under one lock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.postgres import Postgres
from gateway.units import MIB

ROOM_BYTES: Final = 256 * MIB


class Known(StrEnum):
    """What is known of a name; the closed set."""

    CLAIMED = "CLAIMED"
    KEPT = "KEPT"
    NOT_KEPT = "NOT_KEPT"
    RUNNING = "RUNNING"
    OTHER = "OTHER"
    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it went to its client; `header_lines` are complete lines."""

    http_status: int
    header_lines: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Claim:
    """What a name is to one request of a key."""

    key_id: int
    name: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is known; `request_id` is the one that had the name before, `answer` if it is kept."""

    known: Known
    request_id: str | None
    answer: KeptAnswer | None


class Answers:
    """The table of kept answers. Faults: PostgresUnavailable; every call may be repeated."""

    def __init__(self, postgres: Postgres, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def claim(self, claim: Claim, digest: bytes, instance: str, lives_ms: int) -> Claimed:
        """Take the name for this request, if it is free; it is over after `lives_ms`."""
        row = await self._postgres.row(
            self._queries["claim_answer"],
            claim.key_id,
            claim.name,
            digest,
            claim.request_id,
            instance,
            lives_ms,
        )
        assert row is not None
        known = Known(row["verdict"])
        answer = None
        if known is Known.KEPT:
            answer = KeptAnswer(row["http_status"], row["header_lines"], row["body"])
        return Claimed(known, row["request_id"], answer)

    async def keep(self, claim: Claim, answer: KeptAnswer) -> bool:
        """Keep the answer; False when the name is not this request's any more.

        A key whose answers take more than ROOM_BYTES loses its oldest ones.
        """
        kept: bool = await self._postgres.value(
            self._queries["keep_answer"],
            claim.key_id,
            claim.name,
            claim.request_id,
            answer.http_status,
            answer.header_lines,
            answer.body,
            ROOM_BYTES,
        )
        return kept

    async def end(self, claim: Claim, *, charged: bool) -> None:
        """It ended without an answer to keep; the name is free again if nothing was charged."""
        await self._postgres.value(
            self._queries["end_answer"], claim.key_id, claim.name, claim.request_id, charged
        )

    async def forget(self, limit: int = 500) -> int:
        """Names of a day ago and of revoked keys; answers how many were forgotten."""
        gone: int = await self._postgres.value(self._queries["forget_answers"], limit)
        return gone
