"""The ledger in memory and PostgreSQL give the same answers to the same calls."""

from dataclasses import asdict
from random import Random
from typing import Any

import pytest

from gateway.errors import Fault
from gateway.ledger.book import Book
from gateway.ledger.shelf import Shelf
from gateway.postgres import Postgres, PostgresRefused
from gateway.sql import load_queries
from tests.ledger.events import charge, now_ms, request_id, void
from tests.simulation.ledger_rows import Refused
from tests.simulation.ledger_twin import LedgerTwin
from tests.simulation.postgres_door import Names

STEPS = 130
KEYS = (1, 2, 3, 4)
INSTANCES = ("a-1", "b-2")


class Direct:
    """The twin without a network."""

    def __init__(self, twin: LedgerTwin) -> None:
        self.twin = twin

    async def rows(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Any:
        try:
            return self.twin.call(sql, values)
        except Refused as refused:
            raise PostgresRefused(refused.sqlstate, refused.detail) from refused

    async def row(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Any:
        found = await self.rows(sql, *values)
        return found[0] if found else None

    async def value(self, sql: str, *values: Any, deadline_ms: int | None = None) -> Any:
        found = await self.rows(sql, *values)
        return next(iter(found[0].values())) if found else None


class Calls:
    """Random calls of the book, in the order in which nobody in particular would make them."""

    def __init__(self, chance: Random) -> None:
        self.chance = chance
        self.number = 0
        self.requests: list[str] = []
        self.refs: list[str] = ["first"]

    def next(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        chance = self.chance
        key = chance.choice(KEYS)
        kinds = {
            "post_outcomes": 12,
            "refund_undelivered": 5,
            "credit": 4,
            "set_limits": 2,
            "set_status": 2,
            "end_key": 1,
            "transfer": 3,
            "take_outbox": 1,
            "note_balances": 2,
            "clear_outbox": 2,
            "beat_instance": 3,
            "drained_instances": 1,
            "posted_requests": 1,
            "load_balances": 1,
            "recently_revoked": 1,
            "count_gateways": 1,
        }
        name = chance.choices(list(kinds), list(kinds.values()))[0]
        return getattr(self, f"_{name}")(key)  # type: ignore[no-any-return]

    def _some(self) -> list[str]:
        known = self.requests or [request_id(999_999)]
        return [self.chance.choice(known) for _ in range(self.chance.randint(1, 3))]

    def _post_outcomes(self, _: int) -> Any:
        chance, events = self.chance, []
        for _ in range(chance.randint(1, 5)):
            self.number += 1
            request = request_id(self.number)
            if self.requests and chance.random() < 0.25:
                request = chance.choice(self.requests)
            self.requests.append(request)
            key = chance.choice(KEYS) if chance.random() < 0.98 else 77
            other = {"instance": chance.choice(INSTANCES)}
            if chance.random() < 0.3:
                events.append(void(request, chance.choice((key, None)), self.number, **other))
            else:
                cost = chance.choice((0, 3, 40, 700))
                events.append(charge(request, key, cost, self.number, **other))
        text = b"[" + b",".join(_dumped(each) for each in events) + b"]"
        return "post_outcomes", (text,), {}

    def _refund_undelivered(self, _: int) -> Any:
        return "refund_undelivered", (self._some(),), {}

    def _credit(self, key: int) -> Any:
        ref = self.chance.choice([*self.refs, f"ref {self.number}"])
        self.refs.append(ref)
        tokens, bucket = self.chance.choice((5, 300)), self.chance.choice(("trial", "paid"))
        return "credit", (key, tokens, bucket, ref), {}

    def _set_limits(self, key: int) -> Any:
        changes = self.chance.choice(
            (None, {"reader": {"rpm": 3}}, {"reader": None}, {"embeddings": {"tpm": None}})
        )
        return "set_limits", (key, changes), {}

    def _set_status(self, key: int) -> Any:
        return "set_status", (key, self.chance.choice(("active", "suspended"))), {}

    def _end_key(self, key: int) -> Any:
        return "end_key", (key, self.chance.choice((None, None, *KEYS)), 50), {}

    def _transfer(self, key: int) -> Any:
        self.number += 1
        tokens = self.chance.choice((None, 1, 60))
        named = {"ref": f"move {self.number}", "name": None}
        return "transfer", (key, self.chance.choice(KEYS), tokens, 100), named

    def _take_outbox(self, _: int) -> Any:
        return "take_outbox", (), {}

    def _note_balances(self, key: int) -> Any:
        return "note_balances", ([key, KEYS[0], 77],), {}

    def _clear_outbox(self, _: int) -> Any:
        return "clear_outbox", (), {}

    def _beat_instance(self, _: int) -> Any:
        chance = self.chance
        below, ended = chance.randint(0, 9), chance.random() < 0.2
        unused = sorted(chance.sample(range(1, 9), 2))
        return "beat_instance", (chance.choice(INSTANCES), below, unused, ended, ended), {}

    def _drained_instances(self, _: int) -> Any:
        return "drained_instances", (list(INSTANCES),), {}

    def _posted_requests(self, _: int) -> Any:
        return "posted_requests", (self._some(),), {}

    def _load_balances(self, _: int) -> Any:
        return "load_balances", ([*KEYS, 77],), {}

    def _recently_revoked(self, _: int) -> Any:
        return "recently_revoked", (7, 0, 10), {}

    def _count_gateways(self, _: int) -> Any:
        return "count_gateways", (600,), {}


def _dumped(event: list[Any]) -> bytes:
    return repr(event).replace("'", '"').replace("None", "null").encode()


async def _answer(book: Book, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    if name == "clear_outbox":
        # What the other one has taken is not known here.
        values = (await book.take_outbox(2),)
    try:
        found = await getattr(book, name)(*values, **named)
    except Fault as fault:
        return type(fault).__name__, getattr(fault, "sqlstate", "")
    if isinstance(found, list) and name not in ("take_outbox",):
        return sorted(found, key=str)
    return found


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_twin_of_the_ledger_answers_as_postgresql_does(database: str, seed: int) -> None:
    postgres = Postgres(database, command_deadline_ms=20_000)
    real = Book(postgres, load_queries())
    twin = LedgerTwin(lambda: now_ms() / 1_000)
    double = Book(Direct(twin), Names())  # type: ignore[arg-type]
    try:
        for book in (real, double):
            for key in KEYS:
                await book.mint(key, b"%032d" % key, "abcd", None, 400 * (key - 1), 0)
            for key in KEYS[1:]:
                await book.credit(key, 500, "paid", f"premium {key}")
        calls = Calls(Random(seed))
        for step in range(STEPS):
            name, values, named = calls.next()
            wanted = await _answer(real, name, values, named)
            found = await _answer(double, name, values, named)
            assert found == wanted, (step, name, values)
        assert await _rest(real, postgres) == _twin_rest(twin)
    finally:
        await postgres.close()


async def _rest(book: Shelf, postgres: Postgres) -> dict[str, Any]:
    """All that is left in PostgreSQL, as far as the twin has it."""
    outcomes = await postgres.rows(
        "select request_id::text, kind, key_id, from_trial, from_paid, shortfall from outcome"
    )
    told = await postgres.rows("select instance, complete_below, stopped, drained from instance")
    contradictions = await postgres.rows("select distinct request_id::text from contradiction")
    figures = asdict(await book.figures())
    return {
        "outcomes": sorted(map(tuple, outcomes), key=str),
        "instances": sorted(map(tuple, told)),
        "contradictions": sorted(row[0] for row in contradictions),
        "outbox": figures["outbox_keys"],
        "shortfall": figures["shortfall_tokens"],
    }


def _twin_rest(twin: LedgerTwin) -> dict[str, Any]:
    outcomes = [
        (request, o.kind, o.key_id, o.from_trial, o.from_paid, o.shortfall)
        for request, o in twin.outcomes.items()
    ]
    told = [(n, i.complete_below, i.stopped, i.drained) for n, i in twin.instances.items()]
    return {
        "outcomes": sorted(outcomes, key=str),
        "instances": sorted(told),
        "contradictions": sorted({request for request, _ in twin.contradictions}),
        "outbox": len(twin.outbox),
        "shortfall": sum(o.shortfall for o in twin.outcomes.values()),
    }
