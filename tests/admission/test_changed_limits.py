"""Limits that change while a window is full: nothing used is forgotten, nothing counted twice."""

from gateway.admission.ask import Code
from gateway.units import US_PER_MS, US_PER_S, WINDOW_US
from tests.admission.asking import START_US, Asker, Direct, limits


async def test_below_what_is_used_it_refuses_until_enough_has_slid_out(direct: Direct) -> None:
    asker = Asker("a:1", limits=limits(rpm=5))
    for second in range(5):
        at_us = START_US + second * US_PER_S
        assert (await direct.admit(asker.ask(), at_us)).code is Code.ADMITTED
    asker.limits = limits(rpm=2)
    now_us = START_US + 10 * US_PER_S
    refused = await direct.admit(asker.ask(), now_us)
    # Four of five have to go, the fourth of them came after three seconds.
    due_us = START_US + 3 * US_PER_S + WINDOW_US
    assert (refused.code, refused.remaining_requests) == (Code.RPM, 0)
    assert refused.retry_after_ms == (due_us - now_us) // US_PER_MS
    early = await direct.admit(asker.ask(), due_us - US_PER_MS)
    assert (early.code, early.retry_after_ms) == (Code.RPM, 1)
    assert (await direct.admit(asker.ask(), due_us)).code is Code.ADMITTED


async def test_above_what_is_used_it_admits_at_once_and_only_what_is_new(direct: Direct) -> None:
    asker = Asker("a:2", limits=limits(rpm=3, tpm=30))
    for _ in range(3):
        await direct.admit(asker.ask(10))
    assert (await direct.admit(asker.ask(10))).code is Code.RPM
    asker.limits = limits(rpm=5, tpm=45)
    found = await direct.admit(asker.ask(10))
    assert (found.code, found.remaining_requests, found.remaining_tokens) == (Code.ADMITTED, 1, 5)
    assert (await direct.admit(asker.ask(10))).code is Code.TPM
    assert (await direct.admit(asker.ask(5))).code is Code.ADMITTED
    # And back: what came under the wider limit counts under the narrower one.
    asker.limits = limits(rpm=3, tpm=30)
    refused = await direct.admit(asker.ask(1), START_US + 30 * US_PER_S)
    assert (refused.code, refused.retry_after_ms) == (Code.RPM, 30_000)


async def test_a_limit_of_tokens_that_is_new_begins_with_an_empty_window(direct: Direct) -> None:
    asker = Asker("a:3", limits=limits(rpm=9))
    await direct.admit(asker.ask(1_000))
    asker.limits = limits(rpm=9, tpm=100)
    found = await direct.admit(asker.ask(60))
    assert (found.code, found.remaining_requests, found.remaining_tokens) == (Code.ADMITTED, 7, 40)
