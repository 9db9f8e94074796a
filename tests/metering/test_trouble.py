"""What is told of a ledger that takes nothing: its own refusal, and never an absence."""

import asyncio
from functools import partial

from gateway.errors import PostgresUnavailable
from gateway.metering.trouble import NO_TROUBLE
from gateway.postgres.breaker import Breaker
from gateway.postgres.faults import ServerGone
from tests.crash.house import until

FULL = PostgresUnavailable("No space left on device (53100)")
SILENT = ServerGone("no answer within 1000 ms")
AWAY = PostgresUnavailable("connection refused")


def _never_away(_: float) -> bool:
    return False


async def _is_over(breaker: Breaker) -> bool:
    """Whether no probe looks any more."""
    return not breaker.was_away(asyncio.get_running_loop().time())


def test_what_the_server_says_is_told_at_once() -> None:
    assert NO_TROUBLE.refusal(_never_away) == ""
    assert NO_TROUBLE.and_then(FULL, 1.0).refusal(_never_away) == str(FULL)


def test_one_silence_tells_nothing_and_a_second_in_a_row_does() -> None:
    once = NO_TROUBLE.and_then(SILENT, 1.0)
    assert once.why
    assert once.refusal(_never_away) == ""
    assert once.and_then(SILENT, 2.0).refusal(_never_away) == str(SILENT)
    assert once.and_then(FULL, 2.0).and_then(SILENT, 3.0).refusal(_never_away) == ""


async def test_what_began_before_the_server_was_back_is_no_refusal() -> None:
    now_s = asyncio.get_running_loop().time
    answers = asyncio.Event()
    asked = asyncio.Event()

    async def probe(_: float) -> None:
        asked.set()
        if not answers.is_set():
            raise ServerGone("it does not answer")

    breaker = Breaker(probe)
    before_s = now_s()
    assert not breaker.was_away(before_s)
    breaker.failed()
    # Nobody knows yet.
    assert breaker.was_away(before_s)
    await asked.wait()
    answers.set()
    await until(partial(_is_over, breaker))
    stale = NO_TROUBLE.and_then(SILENT, before_s).and_then(AWAY, before_s)
    assert stale.refusal(breaker.was_away) == ""
    assert stale.and_then(FULL, now_s()).refusal(breaker.was_away) == str(FULL)
    await breaker.close()


async def test_a_probe_that_is_answered_makes_no_absence() -> None:
    async def probe(_: float) -> None:
        """It is there."""

    breaker = Breaker(probe)
    began_s = asyncio.get_running_loop().time()
    breaker.failed()
    await until(partial(_is_over, breaker))
    assert not breaker.was_away(began_s)
    await breaker.close()
