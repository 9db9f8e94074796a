"""Clients that go away, and time that runs out: all inner work ends, and what was used is known."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest

from services.deepsearch import replies
from tests.services.deepsearch import standin as standins
from tests.services.deepsearch.conftest import Opener
from tests.services.deepsearch.desk import Desk
from tests.services.deepsearch.standin import Standin

# It is a matter of milliseconds; who did not notice would go on for minutes.
WITHIN_S = 20.0


@contextlib.asynccontextmanager
async def _asking(desk: Desk, *, stream: bool) -> AsyncIterator[asyncio.Task[None]]:
    async def ask() -> None:
        async with desk.open(desk.ask(stream=stream)) as response:
            await response.read()

    task = asyncio.create_task(ask())
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
        await task


async def _hung_up(model: Standin) -> float:
    begun_s = time.monotonic()
    while model.open_now:
        assert time.monotonic() - begun_s < 2 * WITHIN_S, "the model is still being asked"
        await asyncio.sleep(0.01)
    return time.monotonic() - begun_s


async def test_client_that_leaves_a_stream_ends_the_work(desk: Desk, model: Standin) -> None:
    model.always = standins.silent
    async with _asking(desk, stream=True):
        await model.arrivals.get()
    assert await _hung_up(model) < WITHIN_S
    assert model.hung_up == 1


async def test_client_that_leaves_a_whole_answer_ends_the_work(desk: Desk, model: Standin) -> None:
    model.always = standins.silent
    async with _asking(desk, stream=False):
        await model.arrivals.get()
    assert await _hung_up(model) < WITHIN_S
    assert model.hung_up == 1


async def test_client_that_leaves_while_the_answer_is_written_ends_it_too(
    desk: Desk, model: Standin
) -> None:
    model.script = [standins.sensible] * 2
    model.always = standins.trickle
    async with _asking(desk, stream=True):
        for _ in range(3):
            await model.arrivals.get()
    assert await _hung_up(model) < WITHIN_S


async def test_silence_is_filled_with_comments(
    desk: Desk, model: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "HEARTBEAT_S", 0.05)
    model.script = [standins.sensible]
    model.always = standins.silent
    comments = []
    async with desk.open(desk.ask(stream=True)) as response:
        async for line in response.content:
            comments += [line] if line.startswith(b":") else []
            if len(comments) > 8 and len(set(comments[-5:])) == 1:
                break
    # What has been used so far is said again and again, and it does not grow by itself.
    assert len(set(comments[-5:])) == 1
    assert comments[-1].startswith(b": usage ")
    assert int(comments[-1].split()[2]) > 0


async def test_budget_of_the_gateway_bounds_that_of_the_client(desk: Desk) -> None:
    head = {"x-token-budget": "600"}
    answer = await desk.post(desk.ask(budget_tokens=90_000), headers=head)
    assert answer.status == 200
    assert answer.tokens < 3_000


async def test_time_that_is_up_brings_an_answer_from_what_is_known(
    opened: Opener, model: Standin
) -> None:
    # It thinks about whether it has enough until the time is up; then it must answer.
    model.script = [standins.sensible, standins.silent]
    settings = {"LLM_BASE_URL": model.url, "DEEPSEARCH_TIMEOUT_MS": "1200"}
    async with opened(**settings) as desk:
        begun_s = time.monotonic()
        heard = await desk.hear(desk.ask(), request_id=str(uuid.uuid4()))
    assert time.monotonic() - begun_s < 30
    assert heard.last["choices"][0]["finish_reason"] == "stop"
    assert "1788" in heard.last["choices"][0]["delta"]["content"]
    assert "last chance" in standins.prompt_of(model.asked[-1])
