"""What a request costs the stores: one round trip when admitted, at most one when refused."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway import app, standby
from tests.edge.client import head
from tests.edge.door import API, READER, Door, Key, running
from tests.edge.paying import BODY
from tests.edge.stub import Stub


@pytest.fixture
def quiet(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A gateway without what it does by the clock: only requests touch the stores."""
    monkeypatch.setattr(app, "_of_node", lambda *_: [])
    # Who else is there is counted at the start, and not again.
    monkeypatch.setattr(standby, "_COUNT_EVERY_MS", 3_600_000)
    with running(environ) as door:
        yield door


class Trips:
    """Counts from the moment it is made."""

    def __init__(self, door: Door) -> None:
        self._ground = door.node.ground
        self._before = self._now()

    def _now(self) -> tuple[int, int]:
        return self._ground.link.round_trips, self._ground.postgres.queries

    def since(self) -> tuple[int, int]:
        """Redis round trips and PostgreSQL queries since then."""
        redis, postgres = self._now()
        return redis - self._before[0], postgres - self._before[1]


def ask(key: Key, body: bytes = BODY) -> bytes:
    lines = [("host", API), key.bearer, ("content-length", str(len(body)))]
    return head("POST", "/v1/embeddings", lines) + body


async def test_a_warm_request_makes_one_round_trip_and_no_query(
    quiet: Door, embeddings: Stub
) -> None:
    key = await quiet.key()
    async with await quiet.wire() as wire:
        assert (await wire.ask(ask(key))).status == 200
        trips = Trips(quiet)
        for _ in range(50):
            assert (await wire.ask(ask(key))).status == 200
        assert trips.since() == (50, 0)


async def test_a_warm_request_without_a_key_makes_one_round_trip_and_no_query(
    quiet: Door, reader: Stub
) -> None:
    start = head("GET", "/https://a.example/", [("host", READER), quiet.address()])
    async with await quiet.wire() as wire:
        assert (await wire.ask(start)).status == 200
        trips = Trips(quiet)
        for _ in range(19):
            assert (await wire.ask(start)).status == 200
        assert trips.since() == (19, 0)


async def test_requests_of_one_moment_share_their_round_trips(
    quiet: Door, embeddings: Stub
) -> None:
    key = await quiet.key()
    wires = [await quiet.wire() for _ in range(32)]
    await wires[0].ask(ask(key))
    trips = Trips(quiet)
    replies = await asyncio.gather(*(wire.ask(ask(key)) for wire in wires))
    assert {reply.status for reply in replies} == {200}
    redis, postgres = trips.since()
    assert redis <= 32
    assert postgres == 0
    for wire in wires:
        await wire.close()


async def test_a_refused_request_makes_at_most_one_and_none_while_that_is_known(
    quiet: Door, embeddings: Stub
) -> None:
    key = await quiet.key(embeddings={"rpm": 1})
    async with await quiet.wire() as wire:
        assert (await wire.ask(ask(key))).status == 200
        trips = Trips(quiet)
        assert (await wire.ask(ask(key))).status == 429
        assert trips.since() == (1, 0)
        for _ in range(30):
            assert (await wire.ask(ask(key))).status == 429
        assert trips.since() == (1, 0)


async def test_a_balance_too_low_makes_one_round_trip_each_time(
    quiet: Door, embeddings: Stub
) -> None:
    """Nothing about money is remembered in a process."""
    key = await quiet.key(trial=1)
    async with await quiet.wire() as wire:
        trips = Trips(quiet)
        for _ in range(5):
            assert (await wire.ask(ask(key))).status == 402
        assert trips.since() == (5, 1), "one query, to know the key"


async def test_what_is_wrong_in_itself_makes_none(quiet: Door, embeddings: Stub) -> None:
    key = await quiet.key()
    lines = [("host", API), key.bearer]
    wrong = [
        head("POST", "/v1/embeddings", [("host", API), ("content-length", "2")]) + b"{}",
        head("POST", "/v1/embeddings", [("host", API), ("authorization", "Bearer sluice_typo")]),
        head("POST", "/v1/nothing", lines),
        head("PUT", "/v1/embeddings", lines),
        head("POST", "/v1/classify", [*lines, ("content-length", "2")]) + b"{}",
        head("POST", "/v1/embeddings", [*lines, ("content-encoding", "gzip")]),
    ]
    async with await quiet.wire() as wire:
        await wire.ask(ask(key))
        trips = Trips(quiet)
        for each in wrong:
            assert 400 <= (await wire.ask(each)).status < 500
        assert trips.since() == (0, 0)


async def test_a_cold_key_makes_two_queries_and_then_none(quiet: Door, embeddings: Stub) -> None:
    """One finds the key, one its balance, which Redis does not have yet."""
    key = await quiet.key()

    async def forget() -> None:
        quiet.node.pipeline._parts.identifier._keys._known.clear()
        for node in quiet.node.ground.link.masters:
            await quiet.node.ground.link.call_at(node, "FLUSHALL")

    await quiet.run(forget())
    async with await quiet.wire() as wire:
        trips = Trips(quiet)
        assert (await wire.ask(ask(key))).status == 200
        redis, postgres = trips.since()
        assert (redis, postgres) == (3, 2), "ask, copy, ask again"
        assert (await wire.ask(ask(key))).status == 200
        assert trips.since() == (4, 2)
