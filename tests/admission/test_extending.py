"""Holds that grow while their request runs, and questions that take nothing."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.ask import Ask, Code, Extension, Grant
from gateway.admission.gate import Gate
from gateway.admission.model import Model
from gateway.admission.scripts import copy_key, deadlines_key, holds_key, tag_of
from tests.admission.asking import (
    START_US,
    Asker,
    Direct,
    MakeGate,
    hold_of,
    limits,
    row,
    settlement,
)


async def dump(direct: Direct, subject: str) -> list[object]:
    """Every key of a subject's tag, byte for byte."""
    tag = tag_of(subject)
    keys = [holds_key(tag, subject), copy_key(tag, subject), deadlines_key(tag)]
    keys += [f"{tag}{kind}:embeddings:{subject}" for kind in "rt"]
    return [await direct.call(subject, "DUMP", key) for key in keys]


async def test_a_hold_grows_by_what_is_free_and_by_no_token_more(direct: Direct) -> None:
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1")
    ask, other = asker.ask(0, 30), asker.ask(0, 20)
    for each in (ask, other):
        await direct.admit(each)
    assert await direct.extend(ask, 81) == Extension(Grant.BALANCE_TOO_LOW, 30, 50)
    assert await direct.extend(ask, 80) == Extension(Grant.GRANTED, 80, 0)
    assert (await direct.admit(asker.ask(0, 1))).code is Code.BALANCE_TOO_LOW
    await direct.settle([settlement(other)])
    assert await direct.extend(ask, 100) == Extension(Grant.GRANTED, 100, 0)
    await direct.settle([settlement(ask)])
    assert (await direct.admit(asker.ask(0, 100))).code is Code.ADMITTED


async def test_a_repeated_extension_holds_nothing_twice(direct: Direct) -> None:
    """Also one whose reply was lost: it names what is to be held in all."""
    await direct.settle([], row(1, trial=100))
    ask = Asker("k:1").ask(0, 30)
    await direct.admit(ask)
    for _ in range(3):
        assert await direct.extend(ask, 60) == Extension(Grant.GRANTED, 60, 40)
    assert await direct.extend(ask, 10) == Extension(Grant.GRANTED, 60, 40), "never less"


@pytest.mark.parametrize(
    ("status", "grant"), [("revoked", Grant.REVOKED), ("suspended", Grant.SUSPENDED)]
)
async def test_a_key_that_may_not_be_used_gets_no_more(
    direct: Direct, status: str, grant: Grant
) -> None:
    await direct.settle([], row(1, trial=100))
    ask = Asker("k:1").ask(0, 30)
    await direct.admit(ask)
    await direct.settle([], row(1, 2, trial=100, status=status))
    assert await direct.extend(ask, 31) == Extension(grant, 30, 0)


async def test_what_is_gone_decided_or_not_loaded_does_not_grow(direct: Direct) -> None:
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1")
    ask = asker.ask(0, 30)
    assert await direct.extend(ask, 40) == Extension(Grant.GONE, 0, 0)
    await direct.admit(ask)
    await direct.call("k:1", "DEL", copy_key(tag_of("k:1"), "k:1"))
    assert await direct.extend(ask, 40) == Extension(Grant.BALANCE_NOT_LOADED, 30, 0)
    await direct.settle([], row(1, trial=100))
    await direct.correct(settlement(ask, None, 12))
    assert await direct.extend(ask, 40) == Extension(Grant.GONE, 12, 0)


async def test_a_refused_extension_writes_nothing(direct: Direct) -> None:
    await direct.settle([], row(1, trial=100))
    ask = Asker("k:1").ask(5, 30)
    await direct.admit(ask)
    before = await dump(direct, "k:1")
    await direct.extend(ask, 1_000)
    assert await dump(direct, "k:1") == before


async def test_extensions_of_one_moment_never_hold_more_than_there_is(
    make_gate: MakeGate,
) -> None:
    gates: list[Gate] = [(await make_gate())[0] for _ in range(3)]
    await gates[0].put_balance(row(1, trial=1_000))
    asker = Asker("k:1")
    asks = [asker.ask(0, 10) for _ in range(40)]
    for ask in asks:
        await gates[0].admit(ask)
    found = await asyncio.gather(
        *(
            gates[n % 3].extend(ask.subject, ask.tag, ask.request_id, 110)
            for n, ask in enumerate(asks)
        )
    )
    granted = sum(each.grant is Grant.GRANTED for each in found)
    assert granted == 6, "600 are free, 100 more each"
    assert (await gates[0].holds("k:1"))[0] == 1_000
    await gates[0].settle([settlement(ask) for ask in asks], ())
    assert (await gates[0].holds("k:1"))[0] == 0


async def test_what_is_put_back_after_a_wipe_grows_on(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    await gate.put_balance(row(1, trial=100))
    ask = Asker("k:1").ask(0, 30)
    await gate.admit(ask)
    await gate.extend(ask.subject, ask.tag, ask.request_id, 60)
    for node in link.masters:
        await link.call_at(node, "FLUSHALL")
    held = hold_of(ask, 60)
    assert await gate.reassert([held]) == 1
    await gate.put_balance(row(1, trial=100))
    assert (await gate.extend(ask.subject, ask.tag, ask.request_id, 90)).hold_tokens == 90
    assert (await gate.holds("k:1"))[0] == 90


async def test_a_question_that_takes_nothing_is_decided_alike_and_writes_nothing(
    direct: Direct,
) -> None:
    await direct.settle([], row(1, trial=100))
    asker = Asker("k:1", limits=limits(rpm=3, tpm=50, concurrency=2))
    before = await dump(direct, "k:1")
    first = await direct.judge(asker.ask(20, 30))
    assert (first.code, first.remaining_requests, first.remaining_balance) == (Code.ADMITTED, 3, 70)
    assert await dump(direct, "k:1") == before
    for cost, code in ((20, Code.ADMITTED), (31, Code.TPM), (30, Code.ADMITTED)):
        ask = asker.ask(cost, 1)
        before = await dump(direct, "k:1")
        judged = await direct.judge(ask)
        assert await dump(direct, "k:1") == before
        real = await direct.admit(ask)
        assert judged.code is real.code is code
        assert judged.retry_after_ms == real.retry_after_ms
    assert (await direct.judge(asker.ask(0, 1))).code is Code.CONCURRENCY
    assert (await direct.judge(asker.ask(0, 99))).code is Code.BALANCE_TOO_LOW


MOVES = st.lists(
    st.tuples(st.sampled_from(["admit", "extend", "end"]), st.integers(0, 9), st.integers(0, 90)),
    max_size=60,
)


@given(moves=MOVES, balance=st.integers(0, 400))
def test_what_is_held_never_exceeds_what_there_is(
    moves: list[tuple[str, int, int]], balance: int
) -> None:
    """Streams that grow and end in any order: all that they cost is covered by the balance."""
    model, asker, version = Model(250_000), Asker("k:1"), 1
    model.put_balance(row(1, trial=balance))
    running: list[Ask] = []
    for kind, which, tokens in moves:
        if kind == "admit":
            ask = asker.ask(0, tokens)
            if model.admit(ask, START_US).code is Code.ADMITTED:
                running.append(ask)
        elif running:
            ask = running[which % len(running)]
            held = model.subject("k:1").holds[ask.request_id].hold.hold_tokens
            if kind == "extend":
                found = model.extend("k:1", ask.request_id, held + tokens)
                assert found.hold_tokens == held + (tokens if found.grant is Grant.GRANTED else 0)
            else:
                running.remove(ask)
                balance, version = balance - min(tokens, held), version + 1
                model.settle([settlement(ask)], [row(1, version, trial=balance)])
        assert model.subject("k:1").held_tokens() <= balance
