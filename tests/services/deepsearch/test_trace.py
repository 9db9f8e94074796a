"""The trace of a request: its steps add up to its charge, for its owner, and not for ever."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.services.deepsearch import standin as standins
from tests.services.deepsearch.conftest import Opener
from tests.services.deepsearch.desk import QUESTION, Desk
from tests.services.deepsearch.standin import Standin
from tests.services.deepsearch.wiki import PAGES


@pytest.fixture
async def keeping(opened: Opener, model: Standin, database: str) -> AsyncIterator[Desk]:
    """Deepsearch with a database."""
    async with opened(
        LLM_BASE_URL=model.url, LLM_API_KEY="key-of-ours", DATABASE_URL=database
    ) as desk:
        yield desk


def path(request_id: str) -> str:
    return f"/v1/requests/{request_id}/trace"


async def test_steps_add_up_to_the_charge_of_every_request(keeping: Desk, model: Standin) -> None:
    asked: tuple[dict[str, Any], ...] = (
        {},
        {"budget_tokens": 900},
        {"max_completion_tokens": 3_000},
        {"team_size": 2, "reasoning_effort": "high"},
        {"stream": True},
    )
    for fields in asked:
        request_id = str(uuid.uuid4())
        body = {**keeping.ask(), **fields}
        if fields.get("stream"):
            usage = (await keeping.hear(body, request_id=request_id)).last["usage"]
        else:
            answer = await keeping.post(body, request_id=request_id)
            usage = answer.json["usage"]
            assert answer.tokens in (0, usage["total_tokens"])
        trace = (await keeping.send("GET", path(request_id))).json
        assert trace["usage"] == usage
        assert sum(step["tokens"] for step in trace["steps"]) == usage["total_tokens"]
        assert sum(step["prompt_tokens"] for step in trace["steps"]) == usage["prompt_tokens"]
        largest = max(step["tokens"] for step in trace["steps"])
        assert usage["total_tokens"] <= trace["budget_tokens"] + largest


async def test_trace_tells_what_was_done_and_when_but_no_page_and_no_key(keeping: Desk) -> None:
    request_id = str(uuid.uuid4())
    await keeping.hear(keeping.ask(), request_id=request_id)
    answer = await keeping.send("GET", path(request_id))
    assert answer.status == 200
    trace = answer.json
    assert trace["request_id"] == request_id
    assert trace["finish"] == "stop"
    assert trace["budget_tokens"] == 500_000
    kinds = [step["kind"] for step in trace["steps"]]
    for kind in ("llm.plan", "search", "read", "rerank", "llm.answer", "llm.evaluate"):
        assert kind in kinds, kinds
    assert all(0 <= step["start_ms"] <= step["end_ms"] for step in trace["steps"])
    assert trace["took_ms"] >= max(step["end_ms"] for step in trace["steps"])
    assert "key-of-ours" not in answer.text
    assert not any(text in answer.text for _, text in PAGES.values())
    assert QUESTION not in answer.text


async def test_trace_is_for_its_owner_alone(keeping: Desk) -> None:
    request_id = str(uuid.uuid4())
    await keeping.post(keeping.ask(), request_id=request_id)
    assert (await keeping.send("GET", path(request_id), key=1)).status == 200
    for key, name in ((2, request_id), (1, str(uuid.uuid4())), (1, "no-id")):
        answer = await keeping.send("GET", path(name), key=key)
        assert answer.status == 404
        assert answer.json["error"]


async def test_request_that_was_left_has_a_trace_of_what_it_cost(
    keeping: Desk, model: Standin
) -> None:
    request_id = str(uuid.uuid4())
    model.script = [standins.sensible, standins.silent]
    async with keeping.open(keeping.ask(stream=True), request_id=request_id):
        for _ in range(2):
            await model.arrivals.get()
    async with asyncio.timeout(60):
        while (answer := await keeping.send("GET", path(request_id))).status != 200:
            assert answer.status == 404
    assert answer.json["finish"] == "cancelled"
    assert answer.json["usage"]["total_tokens"] > 0


async def test_old_traces_are_forgotten(keeping: Desk, database: str) -> None:
    request_id = str(uuid.uuid4())
    await keeping.post(keeping.ask(), request_id=request_id)
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("update deepsearch_trace set began_at = began_at - interval '8 days'")
        assert await line.fetchval("select drop_traces(interval '7 days', 100)") == 1
        assert await line.fetchval("select count(*) from deepsearch_trace") == 0
    finally:
        await line.close()


async def test_without_a_database_answers_come_and_traces_do_not(desk: Desk) -> None:
    assert (await desk.post(desk.ask())).status == 200
    answer = await desk.send("GET", path(str(uuid.uuid4())))
    assert answer.status == 503
    assert answer.json["error"]
