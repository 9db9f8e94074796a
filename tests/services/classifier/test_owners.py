"""The calls of owners: list, look, delete; counters; and that no sample is at rest."""

import asyncio
from datetime import datetime

import asyncpg
import numpy as np
import pytest

from services.classifier.store import ROLE
from services.postgres import Postgres, RefusedError, load_queries
from tests.services.classifier.conftest import opened
from tests.services.classifier.desk import Desk, example
from tests.services.classifier.standin import MODEL, StandIn, embed

VIEW = [
    "classifier_id", "model_name", "labels", "access", "updated_number", "used_number",
    "created_at", "updated_at", "used_at", "metadata",
]  # fmt: skip


async def test_list_is_a_bare_array_of_the_contract_oldest_first(desk: Desk) -> None:
    first = await desk.trained("cat", "dog")
    second = await desk.trained("cow", "pig", access="public")
    answer = await desk.get()
    assert answer.tokens == 0
    one, other = answer.json
    assert list(one) == VIEW
    assert (one["classifier_id"], other["classifier_id"]) == (first, second)
    assert one["labels"] == ["cat", "dog"]
    assert (one["access"], other["access"]) == ("private", "public")
    assert (one["updated_number"], one["used_number"], one["used_at"]) == (0, 0, None)
    assert datetime.fromisoformat(one["created_at"]).utcoffset() is not None
    assert (await desk.get(f"/v1/classifiers/{first}")).json == one


async def test_classifier_belongs_to_its_owner_alone(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog", access="public")
    assert (await desk.get(key=2)).json == []
    assert (await desk.get(f"/v1/classifiers/{classifier_id}", 2)).status == 404
    assert (await desk.delete(classifier_id, 2)).status == 404
    assert (await desk.get(f"/v1/classifiers/{classifier_id}")).status == 200


async def test_delete_is_200_once_and_404_afterwards_and_the_classifier_is_gone(
    desk: Desk,
) -> None:
    classifier_id = await desk.trained("cat", "dog")
    await desk.classify({"classifier_id": classifier_id, "input": "x"})
    answer = await desk.delete(classifier_id)
    assert (answer.status, answer.json["classifier_id"]) == (200, classifier_id)
    assert answer.tokens == 0
    assert (await desk.delete(classifier_id)).status == 404
    assert (await desk.classify({"classifier_id": classifier_id, "input": "x"})).status == 404
    assert (await desk.get()).json == []


async def test_uses_are_counted_whoever_uses_and_refused_ones_are_not(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog", access="public")
    body = {"classifier_id": classifier_id, "input": ["x", "y"]}
    await asyncio.gather(*(desk.classify(body, key) for key in (1, 2, 3, None)))
    assert (await desk.classify({**body, "input": []})).status == 422
    [view] = (await desk.get()).json
    assert view["used_number"] == 4
    assert view["used_at"] > view["created_at"]


async def test_uses_that_wait_are_written_when_the_process_stops(database: str) -> None:
    async with opened(database, StandIn()) as desk:
        classifier_id = await desk.trained("cat", "dog")
        for _ in range(3):
            await desk.classify({"classifier_id": classifier_id, "input": "x"})
    async with opened(database, StandIn()) as desk:
        assert (await desk.get()).json[0]["used_number"] == 3


async def test_no_sample_is_at_rest(database: str, engine: StandIn) -> None:
    secret = "a-word-that-stands-nowhere-else"
    texts = [f"{secret} {n} {word}" for n in range(6) for word in ("cat", "dog")]
    async with opened(database, engine) as desk:
        items = [example(text, text.split()[-1]) for text in texts]
        answer = await desk.train({"model": MODEL, "input": items})
        await desk.train({"classifier_id": answer.json["classifier_id"], "input": items[:3]})
        await desk.classify({"classifier_id": answer.json["classifier_id"], "input": secret})
    line = await asyncpg.connect(database, ssl=False)
    tables = await line.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace"
        " and relkind in ('r', 'p')"
    )
    dumped = b""
    for table in tables:
        for row in await line.fetch(f'select * from "{table[0]}"'):
            dumped += b"".join(
                value if isinstance(value, bytes) else str(value).encode() for value in row
            )
    await line.close()
    assert b"cat" in dumped, "labels are stored"
    assert secret.encode() not in dumped
    for vector in embed(texts):
        for kind in ("<f4", "<f8"):
            assert np.array(vector).astype(kind).tobytes() not in dumped


async def test_service_role_reads_no_book_and_writes_by_functions_only(database: str) -> None:
    port = Postgres(database, role=ROLE, application_name="role-test")
    for statement in (
        "select * from key_balance",
        "select * from api_key",
        "select credit_key(1, 1, 'paid', 'x')",
        "update classifier set used_number = 0",
        "delete from classifier",
        "create table mine (a int)",
    ):
        with pytest.raises(RefusedError, match="permission denied"):
            await port.rows(statement)
    assert await port.rows(load_queries("classifiers")["list_classifiers"], 1) == []
    await port.close()


async def test_public_classifier_of_a_revoked_key_works_for_nobody_else(
    database: str, desk: Desk
) -> None:
    classifier_id = await desk.trained("cat", "dog", access="public", key=7)
    line = await asyncpg.connect(database, ssl=False)
    await line.execute(
        "insert into api_key values (7, 'h', 'abcd', '', null, now());"
        "insert into key_balance (key_id) values (7)"
    )
    body = {"classifier_id": classifier_id, "input": "x"}
    assert (await desk.classify(body, 2)).status == 200
    await line.execute("select revoke_key(7)")
    await line.close()
    assert (await desk.classify(body, 2)).status == 404
