"""Limits in shadow: no trip more, no refusal, and nothing of what goes wrong in them gets out."""

from gateway.admission.ask import Code, tried
from gateway.admission.scripts import tag_of
from gateway.products.product import Shadow
from tests.admission.asking import START_US, Asker, Direct, MakeGate, limits, row, settlement

SHADOW = Shadow(rpm=1, tpm=50, concurrency=1)


async def test_a_shadow_takes_no_trip_of_its_own(make_gate: MakeGate) -> None:
    gate, link = await make_gate()
    asker = Asker("a:1", limits=limits(rpm=5, shadow=SHADOW))
    await gate.admit(asker.ask(10))
    before = link.round_trips
    found = await gate.admit(asker.ask(10))
    assert link.round_trips == before + 1
    assert found.code is Code.ADMITTED
    assert tried(found.shadow) == (("rpm", "tpm", "concurrency"), "rpm")


async def test_a_refused_request_leaves_no_trace_in_a_shadow(direct: Direct) -> None:
    asker = Asker("a:2", limits=limits(rpm=1, shadow=Shadow(rpm=9)))
    assert (await direct.admit(asker.ask())).shadow
    assert (await direct.admit(asker.ask())).shadow == 0
    assert await direct.call("a:2", "HGET", f"{tag_of('a:2')}R:embeddings:a:2", "s") == b"1"


async def test_what_breaks_in_a_shadow_decides_nothing(direct: Direct) -> None:
    subject, tag = "k:3", tag_of("k:3")
    await direct.settle([], row(3))
    for key in (f"{tag}R:embeddings:{subject}", f"{tag}T:embeddings:{subject}"):
        await direct.call(subject, "SET", key, "of another kind")
    asker = Asker(subject, limits=limits(rpm=5, tpm=100, shadow=SHADOW))
    ask = asker.ask(10, 10)
    found = await direct.admit(ask, START_US)
    assert (found.code, found.shadow, found.remaining_tokens) == (Code.ADMITTED, 0, 90)
    await direct.settle([settlement(ask, 4, 4)])
    again = await direct.admit(asker.ask(10, 10), START_US + 1)
    assert (again.code, again.remaining_tokens) == (Code.ADMITTED, 86)


async def test_a_window_that_breaks_while_a_marked_request_runs_does_not_keep_its_hold(
    direct: Direct,
) -> None:
    subject, tag = "a:4", tag_of("a:4")
    asker = Asker(subject, limits=limits(rpm=5, tpm=100, shadow=SHADOW))
    ask = asker.ask(10)
    assert tried((await direct.admit(ask)).shadow)[1] is None
    await direct.call(subject, "SET", f"{tag}T:embeddings:{subject}", "of another kind")
    assert await direct.settle([settlement(ask, 4)]) == [1, -1]
    assert await direct.call(subject, "EXISTS", f"{tag}h:{subject}") == 0
