"""Classifiers in PostgreSQL: what was learned, who owns it, who may use it.

It refuses to hold a sample: what goes in are weights and sums. Without a database every call is
unavailable, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

from services.postgres import Postgres, Row, UnavailableError

ROLE: Final = "sluice_classifier"


class Written(Enum):
    """How an update ended."""

    DONE = "DONE"
    CHANGED = "CHANGED"  # another update came first
    GONE = "GONE"


@dataclass(frozen=True, slots=True)
class Learned:
    """What training gives: the decision, and the sums that the next update adds to."""

    labels: tuple[str, ...]
    weights: bytes
    statistics: bytes


@dataclass(frozen=True, slots=True)
class Trained:
    """What the next update of a classifier begins with."""

    version: int
    model: str
    dimension_count: int
    labels: tuple[str, ...]
    statistics: bytes


@dataclass(frozen=True, slots=True)
class Usable:
    """What a caller classifies with. `weights` is None when he has those of this version."""

    version: int
    model: str
    dimension_count: int
    labels: tuple[str, ...]
    weights: bytes | None


@dataclass(frozen=True, slots=True)
class View:
    """A classifier as its owner sees it."""

    classifier_id: UUID
    model: str
    labels: tuple[str, ...]
    access: str
    updated_number: int
    used_number: int
    created_at: datetime
    updated_at: datetime
    used_at: datetime | None


class Store:
    """All calls raise UnavailableError when PostgreSQL is away or `postgres` is None."""

    def __init__(self, postgres: Postgres | None, queries: Mapping[str, str]) -> None:
        self._postgres = postgres
        self._queries = queries

    async def create(
        self,
        classifier_id: UUID,
        owner_key: int,
        access: str,
        model: str,
        dimension_count: int,
        learned: Learned,
        most: int,
    ) -> bool:
        """False when the owner has `most` classifiers already."""
        made = await self._port.value(
            self._queries["create_classifier"],
            classifier_id,
            owner_key,
            access,
            model,
            dimension_count,
            learned.labels,
            learned.weights,
            learned.statistics,
            most,
        )
        return bool(made)

    async def count(self, owner_key: int) -> int:
        return int(await self._port.value(self._queries["count_classifiers"], owner_key))

    async def load(self, classifier_id: UUID, owner_key: int) -> Trained | None:
        """None when there is none of this owner."""
        row = await self._port.row(self._queries["load_classifier"], classifier_id, owner_key)
        if row is None:
            return None
        return Trained(
            row["version"],
            row["model"],
            row["dimension_count"],
            tuple(row["labels"]),
            row["statistics"],
        )

    async def update(
        self, classifier_id: UUID, owner_key: int, version: int, learned: Learned
    ) -> Written:
        """Writes only if `version` still stands."""
        word = await self._port.value(
            self._queries["update_classifier"],
            classifier_id,
            owner_key,
            version,
            learned.labels,
            learned.weights,
            learned.statistics,
        )
        return Written(word)

    async def find_usable(
        self, classifier_id: UUID, caller_key: int | None, known_version: int | None
    ) -> Usable | None:
        """None when there is none that this caller may use. `caller_key` None is nobody's key."""
        row = await self._port.row(
            self._queries["find_usable_classifier"], classifier_id, caller_key, known_version
        )
        if row is None:
            return None
        return Usable(
            row["version"],
            row["model"],
            row["dimension_count"],
            tuple(row["labels"]),
            row["weights"],
        )

    async def list(self, owner_key: int) -> Sequence[View]:
        rows = await self._port.rows(self._queries["list_classifiers"], owner_key)
        return [_view(row) for row in rows]

    async def view(self, classifier_id: UUID, owner_key: int) -> View | None:
        row = await self._port.row(self._queries["view_classifier"], classifier_id, owner_key)
        return None if row is None else _view(row)

    async def count_uses(
        self, ids: Sequence[UUID], uses: Sequence[int], last: Sequence[datetime]
    ) -> None:
        await self._port.rows(self._queries["count_classifier_uses"], ids, uses, last)

    async def delete(self, classifier_id: UUID, owner_key: int) -> bool:
        """Whether there was one of this owner."""
        gone = await self._port.value(self._queries["delete_classifier"], classifier_id, owner_key)
        return bool(gone)

    async def close(self) -> None:
        if self._postgres is not None:
            await self._postgres.close()

    @property
    def _port(self) -> Postgres:
        if self._postgres is None:
            raise UnavailableError("this service was started without SLUICE_DATABASE_URL")
        return self._postgres


def _view(row: Row) -> View:
    return View(
        row["classifier_id"],
        row["model"],
        tuple(row["labels"]),
        row["access"],
        row["updated_number"],
        row["used_number"],
        row["created_at"],
        row["updated_at"],
        row["used_at"],
    )
