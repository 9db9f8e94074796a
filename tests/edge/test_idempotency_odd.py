"""An Idempotency-Key where something goes away: the client, PostgreSQL, the balance."""

import asyncio
import threading
from typing import cast

import pytest

from gateway.edge import repeat, repeats
from gateway.errors import PostgresUnavailable
from gateway.ledger.answers import Answers, Claim, Claimed
from gateway.metering.meter import Meter
from gateway.telemetry import Telemetry
from tests.edge.client import Reply
from tests.edge.door import DEEPSEARCH, Door, Key, until
from tests.edge.paying import told
from tests.edge.scripts import LARGE, answering, large
from tests.edge.stage import ASK, THINK, runs
from tests.edge.stub import SSE, Stub, Turn
from tests.edge.test_idempotency import asked, charges, code, once


class OddClaims:
    """Claims that are made, and whose reply is held back or lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = asyncio.Event(), threading.Event()
        self.lose = False
        loop, real = asyncio.get_running_loop(), Answers.claim

        async def claim(
            answers: Answers, claim: Claim, digest: bytes, instance: str, lives_ms: int
        ) -> Claimed:
            claimed = await real(answers, claim, digest, instance, lives_ms)
            loop.call_soon_threadsafe(self.begun.set)
            if self.lose:
                raise PostgresUnavailable("its reply was lost, as a test has it")
            await asyncio.to_thread(self.go_on.wait)
            return claimed

        monkeypatch.setattr(Answers, "claim", claim)


async def answered_once(door: Door, key: Key) -> Reply:
    """The answer, as soon as there is one."""
    found: list[Reply] = []

    async def some() -> bool:
        found.append(await once(door, key, "a"))
        return found[-1].status == 200

    await until(some)
    assert {code(reply) for reply in found[:-1]} <= {"IDEMPOTENCY_IN_PROGRESS"}
    return found[-1]


async def test_who_leaves_while_his_name_is_taken_leaves_it_free(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        claims = OddClaims(patched)
        wire = await door.wire()
        await wire.send(asked(key, "a"))
        await claims.begun.wait()
        wire.reset()
        await asyncio.sleep(0.5)
        claims.go_on.set()
        assert not embeddings.turns
    await answered_once(door, key)
    assert len(embeddings.turns) == 1
    assert await charges(door, key) == [7]


async def test_a_claim_whose_reply_was_lost_is_ended_later(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "_UNSURE_S", 0.0)
    with monkeypatch.context() as patched:
        OddClaims(patched).lose = True
        assert (await once(door, key, "a")).status == 503
    assert not embeddings.turns
    await answered_once(door, key)
    assert await charges(door, key) == [7]


async def test_a_stream_that_the_balance_ended_is_told_again_with_its_reason(
    door: Door, deepsearch: Stub
) -> None:
    key = await door.key(trial=60_000)

    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        await turn.chunk(runs(20_000) + THINK)
        await asyncio.sleep(0.02)
        await turn.chunk(runs(70_000) + THINK)
        await turn.hung_up()

    deepsearch.script = script
    first, again = [
        await once(door, key, "a", ASK, host=DEEPSEARCH, target="/v1/chat/completions")
        for _ in range(2)
    ]
    assert b"BALANCE_ENDED" in first.body
    assert (again.status, again.body) == (200, first.body)
    assert again["idempotent-replayed"] == "true"
    assert told(again) == told(first) == 60_000
    await door.at_rest(key.subject, "deepsearch")
    assert await door.balance(key) == 0
    assert len(deepsearch.turns) == 1


async def test_what_all_answers_of_a_process_may_take_is_bounded(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeat, "MAX_HELD_BYTES", LARGE)
    embeddings.script = answering(large(b'"usage": {"total_tokens": 9}, '))
    assert (await once(door, key, "a")).whole
    again = await once(door, key, "a")
    assert (again.status, code(again)) == (409, "IDEMPOTENCY_ANSWER_NOT_KEPT")
    assert door.node.pipeline._parts.repeats.held_bytes == 0


async def test_a_gateway_that_stops_keeps_what_it_had_put_off(
    door: Door, key: Key, embeddings: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = door.node.pipeline._parts.repeats
    real = Answers.keep
    tries = []

    async def once_away(answers: Answers, *how: object) -> bool:
        tries.append(how)
        if len(tries) == 1:
            raise PostgresUnavailable("as a test has it")
        return await real(answers, *how)  # type: ignore[arg-type]

    monkeypatch.setattr(Answers, "keep", once_away)
    with monkeypatch.context() as patched:
        patched.setattr(ours, "_later", [])
        assert (await once(door, key, "a")).status == 200
        await door.run(ours.close())
    assert len(tries) == 2
    assert (await once(door, key, "a"))["idempotent-replayed"] == "true"
    assert await charges(door, key) == [7]


async def test_names_that_cannot_be_freed_are_forgotten_before_they_fill_the_memory() -> None:
    """PostgreSQL is away, and somebody goes on asking: each name ends with its time."""

    class Away:
        async def end(self, *_: object, **__: object) -> None:
            raise PostgresUnavailable("away")

    found = repeats.Repeats(cast(Answers, Away()), cast(Meter, None), Telemetry())
    await found.end(Claim(1, "paid", "id"), charged=True)
    for number in range(repeats.MOST_LATER + 100):
        await found.end(Claim(1, str(number), "id"), charged=False)
    await found.end(Claim(1, "paid too", "id"), charged=True)
    names = [each.claim.name for each in found._later]
    assert len(names) <= repeats.MOST_LATER + 1
    assert {"paid", "paid too"} <= set(names)
