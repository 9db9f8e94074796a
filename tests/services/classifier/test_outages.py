"""PostgreSQL away, frozen or empty: few-shot and training say so in time; zero-shot goes on."""

import asyncio
import os
import signal
import time
from typing import cast
from uuid import UUID, uuid4

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from services.classifier import uses
from services.classifier.store import ROLE, Store
from services.classifier.uses import Uses
from services.postgres import Postgres, RefusedError, UnavailableError, load_queries
from tests.services.classifier.conftest import opened
from tests.services.classifier.desk import Desk, examples
from tests.services.classifier.standin import MODEL, StandIn

ZERO = {"model": MODEL, "input": "a dog", "labels": ["cat", "dog"]}


async def check_away(desk: Desk) -> None:
    """What needs PostgreSQL is 503 in time, what does not is served."""
    some_id = str(uuid4())
    began = time.monotonic()
    answers = await asyncio.gather(
        desk.train({"model": MODEL, "input": examples("cat", "dog")}),
        desk.train({"classifier_id": some_id, "input": examples("cat", "dog")}),
        desk.classify({"classifier_id": some_id, "input": "x"}),
        desk.get(),
        desk.get(f"/v1/classifiers/{some_id}"),
        desk.delete(some_id),
    )
    assert time.monotonic() - began < 30
    for answer in answers:
        assert (answer.status, answer.void) == (503, True), answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json["code"] == "SERVICE_UNAVAILABLE"
    assert (await desk.classify(ZERO)).json["data"][0]["prediction"] == "dog"
    assert (await desk.classify({"classifier_id": some_id, "input": []})).status == 422


@pytest.mark.parametrize("dsn", [None, "postgresql://x@/sluice?host=/nowhere"])
async def test_without_postgres_zero_shot_goes_on_and_the_rest_is_503(dsn: str | None) -> None:
    async with opened(dsn, StandIn()) as desk:
        await check_away(desk)


async def test_database_that_is_not_migrated_yet_is_away(pg_server: PostgresServer) -> None:
    async with opened(pg_server.dsn.replace("/sluice?", "/postgres?"), StandIn()) as desk:
        await check_away(desk)


async def test_frozen_postgres_hangs_nobody_and_is_used_again_when_it_thaws(
    database: str, pg_server: PostgresServer, engine: StandIn
) -> None:
    async with opened(database, engine) as desk:
        classifier_id = await desk.trained("cat", "dog")
        line = await asyncpg.connect(database, ssl=False)
        frozen = [pg_server.pid] + [
            row["pid"]
            for row in await line.fetch(
                "select pid from pg_stat_activity where application_name = 'classifier-test'"
            )
        ]
        await line.close()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            await check_away(desk)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        body = {"classifier_id": classifier_id, "input": "a dog"}
        assert (await desk.classify(body)).json["data"][0]["prediction"] == "dog"


async def test_statement_past_its_deadline_is_given_up_and_the_line_replaced(
    database: str,
) -> None:
    port = Postgres(database, role=ROLE, application_name="t", pool_size=1, deadline_ms=1_000)
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="1000 ms"):
            await port.rows("select pg_sleep(60)")
        assert time.monotonic() - began < 30
    assert await port.value("select 1") == 1
    with pytest.raises(RefusedError):
        await port.value("select 1 / 0")
    with pytest.raises(RefusedError):
        await port.value("select $1::bigint", "text")
    await port.close()
    with pytest.raises(UnavailableError):
        await port.value("select 1")


async def test_cancelled_statement_leaves_the_pool_usable(database: str) -> None:
    port = Postgres(database, role=ROLE, application_name="t", pool_size=1)
    task = asyncio.create_task(port.rows("select pg_sleep(5)"))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await port.value("select 1") == 1
    await port.close()


class Shaky:
    """A store that fails as often as it is told to, and remembers what was written."""

    def __init__(self) -> None:
        self.failures = 0
        self.written: dict[UUID, int] = {}
        self.batches: list[int] = []

    async def count_uses(self, ids: list[UUID], counts: list[int], _last: object) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise UnavailableError("away")
        self.batches.append(len(ids))
        for classifier_id, count in zip(ids, counts, strict=True):
            self.written[classifier_id] = self.written.get(classifier_id, 0) + count


async def test_uses_wait_for_postgres_and_every_one_is_written_once() -> None:
    shaky = Shaky()
    shaky.failures = 3
    counting = Uses(cast(Store, shaky))
    ids = [uuid4() for _ in range(50)]
    for round_number in range(20):
        for classifier_id in ids[: 10 + round_number]:
            counting.count(classifier_id)
        await asyncio.gather(counting.write_if_possible(), counting.write_if_possible())
    await counting.write()
    assert counting.waiting == 0
    expected = {i: sum(place < 10 + n for n in range(20)) for place, i in enumerate(ids[:29])}
    assert shaky.written == expected


async def test_uses_are_written_in_bounded_batches_and_never_wait_without_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(uses, "MOST_WAITING", 2_500)
    shaky = Shaky()
    counting = Uses(cast(Store, shaky))
    for _ in range(3_000):
        counting.count(uuid4())
    assert counting.waiting == 2_500
    await counting.write()
    assert shaky.batches == [1_000, 1_000, 500]


def test_every_named_query_has_a_text() -> None:
    queries = load_queries("classifiers")
    assert len(queries) == 9
    assert all(text.endswith(";") for text in queries.values())
