"""An Idempotency-Key where the client leaves, or its answer cannot be kept at once."""

import asyncio
import threading
from typing import Any

import pytest

from gateway.errors import PostgresUnavailable
from gateway.ledger.answers import Answers, Claim, KeptAnswer
from tests.edge.client import Wire
from tests.edge.door import DEEPSEARCH, TRIAL, Door, Key, until
from tests.edge.scripts import HEADER, LARGE, answering, chunked
from tests.edge.stub import SSE, Stub, Turn, used
from tests.edge.test_idempotency import EVENT, LAST, asked, charges, code, once


async def test_who_leaves_before_the_first_byte_may_ask_again(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.read_body()
        await turn.hung_up()

    embeddings.script = script
    wire = await door.wire()
    await wire.send(asked(key, "a"))
    await embeddings.turn()
    await wire.close()
    embeddings.script = answering(used(7), HEADER)

    async def answered() -> bool:
        return (await once(door, key, "a")).status == 200

    await until(answered)
    assert await charges(door, key) == [0, 7]


async def test_who_leaves_a_stream_midway_pays_what_was_produced_and_not_again(
    door: Door, key: Key, embeddings: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(headers=HEADER)
        await turn.chunk(b"x" * LARGE)
        await turn.hung_up()

    embeddings.script = script
    wire = await door.wire()
    await wire.send(asked(key, "a"))
    await wire.reply_head()
    await wire.reader.readexactly(1_000)
    wire.reset()
    assert await until_charged(door, key) == [7]

    async def known() -> bool:
        again = await once(door, key, "a")
        assert again.status == 409
        return code(again) == "IDEMPOTENCY_ANSWER_NOT_KEPT"

    await until(known)
    assert await charges(door, key) == [7]


async def until_charged(door: Door, key: Key) -> list[int]:
    async def some() -> bool:
        return bool(await door.rows(key))

    await until(some)
    return await charges(door, key)


async def test_a_stream_that_its_service_cuts_may_be_asked_for_again(
    door: Door, key: Key, deepsearch: Stub
) -> None:
    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        await turn.chunk(EVENT)
        await asyncio.sleep(0.02)
        turn.cut()

    deepsearch.script = script
    where: dict[str, Any] = {"host": DEEPSEARCH, "target": "/v1/chat/completions"}
    cut = await once(door, key, "a", **where)
    assert b"event: error" in cut.body
    deepsearch.script = chunked([EVENT, LAST], kind=SSE)

    async def answered() -> bool:
        return (await once(door, key, "a", **where)).status == 200

    await until(answered)
    await door.at_rest(key.subject, "deepsearch")
    assert await charges(door, key) == [0, 11]


class SlowAnswers:
    """Holds back the keeping of answers until it is let go, or makes it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = asyncio.Event(), threading.Event()
        self.fails = False
        self._loop = asyncio.get_running_loop()
        real = Answers.keep

        async def keep(answers: Answers, claim: Claim, answer: KeptAnswer) -> bool:
            self._loop.call_soon_threadsafe(self.begun.set)
            if self.fails:
                raise PostgresUnavailable("as a test has it")
            await asyncio.to_thread(self.go_on.wait)
            return await real(answers, claim, answer)

        monkeypatch.setattr(Answers, "keep", keep)


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> SlowAnswers:
    return SlowAnswers(monkeypatch)


async def quiet_for(wire: Wire) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wire.reader.read(1), 0.1)


async def test_no_byte_of_a_small_answer_goes_before_it_is_kept(
    door: Door, key: Key, embeddings: Stub, slow: SlowAnswers
) -> None:
    wire = await door.wire()
    await wire.send(asked(key, "a"))
    await slow.begun.wait()
    await quiet_for(wire)
    slow.go_on.set()
    assert (await wire.reply()).status == 200
    await wire.close()


async def test_who_leaves_while_it_is_kept_has_it_when_he_asks_again(
    door: Door, key: Key, embeddings: Stub, slow: SlowAnswers
) -> None:
    wire = await door.wire()
    await wire.send(asked(key, "a"))
    await slow.begun.wait()
    wire.reset()
    await asyncio.sleep(0.05)
    slow.go_on.set()

    async def kept() -> bool:
        reply = await once(door, key, "a")
        return reply.status == 200 and reply["idempotent-replayed"] == "true"

    await until(kept)
    assert await charges(door, key) == [7]
    assert await door.balance(key) == TRIAL - 7, "it was had, and nothing is given back"


async def test_an_answer_that_cannot_be_kept_now_is_kept_later(
    door: Door, key: Key, embeddings: Stub, slow: SlowAnswers
) -> None:
    slow.fails = True
    assert (await once(door, key, "a")).status == 200
    again = await once(door, key, "a")
    assert (again.status, code(again)) == (409, "IDEMPOTENCY_IN_PROGRESS")
    slow.fails = False
    slow.go_on.set()

    async def kept() -> bool:
        return (await once(door, key, "a")).status == 200

    await until(kept)
    assert await charges(door, key) == [7]
    assert door.node.pipeline._parts.repeats.held_bytes == 0
