"""What is left in Redis of those who are gone, and what is put back or read back."""

import asyncio
from dataclasses import replace

from gateway.admission.ask import Code, Hold
from gateway.admission.scripts import beat_key
from tests.admission.asking import Asker, MakeGate, hold_of, row, settlement


async def test_orphans_are_holds_past_their_deadline_or_of_a_silent_instance(
    make_gate: MakeGate,
) -> None:
    gate, _ = await make_gate()
    far_ms = 4_000_000_000_000
    late = Asker("a:1", instance="alive").ask(deadline_ms=1_000)
    fine = Asker("a:2", instance="alive").ask(deadline_ms=far_ms)
    lost = replace(Asker("a:3", instance="dead").ask(deadline_ms=far_ms), hold_tokens=9)
    for ask in (late, fine, lost):
        await gate.admit(ask)
    await gate.beat("alive", 60_000)
    # Nobody is dead at first sight: an emptied Redis has no beats for a moment.
    assert [h.subject for h in await gate.orphans(0.05)] == ["a:1"]
    await asyncio.sleep(0.06)
    found = {h.subject: h for h in await gate.orphans(0.05)}
    assert found["a:3"] == Hold(lost.request_id, "a:3", lost.product, 9, "dead", 1, far_ms)
    assert set(found) == {"a:1", "a:3"}
    await gate.settle([settlement(late), settlement(lost)], ())
    assert await gate.orphans(0.05) == []


async def test_a_beat_in_between_makes_an_instance_alive_again(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    await gate.admit(Asker("a:1", instance="slow").ask(deadline_ms=4_000_000_000_000))
    assert await gate.orphans(0.02) == []
    await gate.beat("slow", 600_000)
    assert await gate.orphans(0.02) == []
    assert await link.call(None, "DEL", beat_key("slow")) == 1
    await asyncio.sleep(0.05)
    # Its silence begins anew, however long ago the first one was.
    assert await gate.orphans(0.02) == []


async def test_all_orphans_of_a_tag_are_found_page_by_page(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    asker = Asker("a:1")
    asks = [asker.ask(deadline_ms=1_000 + n) for n in range(450)]
    await asyncio.gather(*(gate.admit(ask) for ask in asks))
    found: set[str] = set()
    for _ in range(3):
        found |= {hold.request_id for hold in await gate.orphans()}
    assert found == {ask.request_id for ask in asks}


async def test_a_reasserted_hold_counts_again_after_redis_was_emptied(
    make_gate: MakeGate,
) -> None:
    gate, link = await make_gate()
    await gate.put_balance(row(1, trial=100))
    asker = Asker("k:1")
    ask = asker.ask(0, 60)
    await gate.admit(ask)
    await link.call(None, "FLUSHALL")
    assert await gate.reassert([hold_of(ask)]) == 1
    assert await gate.reassert([hold_of(ask)]) == 0
    await gate.put_balance(row(1, trial=100))
    assert (await gate.admit(asker.ask(0, 60))).code is Code.BALANCE_TOO_LOW
    await gate.settle([settlement(ask, 5)], ())
    assert (await gate.admit(asker.ask(0, 60))).code is Code.ADMITTED


async def test_a_hold_that_grew_without_redis_is_raised_and_one_that_is_decided_is_not(
    make_gate: MakeGate,
) -> None:
    gate, _ = await make_gate()
    await gate.put_balance(row(1, trial=100))
    asker = Asker("k:1")
    running, ended = asker.ask(0, 10), asker.ask(0, 10)
    for ask in (running, ended):
        await gate.admit(ask)
    await gate.correct_now(settlement(ended, None, 4))
    for _ in range(2):
        assert await gate.reassert([hold_of(running, 50), hold_of(ended, 50)]) == 0
        assert await gate.holds("k:1") == (54, 1)
    assert await gate.reassert([hold_of(running, 20)]) == 0
    assert await gate.holds("k:1") == (54, 1)
    await gate.settle([settlement(running), settlement(ended)], ())
    assert await gate.holds("k:1") == (0, 0)


async def test_copies_read_back_equal_the_rows_they_were_made_of(make_gate: MakeGate) -> None:
    """With null limits, limits that are not named, and a key without any; all of them in turn."""
    gate, _ = await make_gate()
    limits_of = [{}, {"reader": {"rpm": 7, "tpm": None}, "train": {}}, {"search": {"tpm": 0}}]
    rows = [
        row(n, n, trial=n * 10**9, paid=n, tier="premium", status="suspended", limits=own)
        for n, own in enumerate(limits_of, start=1)
    ]
    await gate.settle((), rows)
    await gate.admit(Asker("a:1").ask())
    for _ in range(2):
        assert sorted(await gate.copies(), key=lambda found: found.key_id) == rows


async def test_clamped_copies_are_not_compared(make_gate: MakeGate) -> None:
    gate, _ = await make_gate()
    await gate.settle((), [row(1, trial=2**60), row(2)])
    assert [found.key_id for found in await gate.copies()] == [2]


async def test_holds_of_an_instance_that_is_known_to_be_dead_are_orphans_at_once(
    make_gate: MakeGate,
) -> None:
    gate, _ = await make_gate()
    for instance in ("dead", "alive"):
        await gate.beat(instance, 60_000)
        asker = Asker("a:1", instance=instance, numbers=iter([len(instance)]))
        await gate.admit(asker.ask(deadline_ms=4_000_000_000_000))
    gate.declare_dead("dead")
    assert [hold.instance for hold in await gate.orphans()] == ["dead"]
