"""The scripts against their pure twin: the same traffic, decision for decision, for any N."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.model import Model
from gateway.embedded.redis_server import RedisServer
from gateway.products.product import Shadow
from gateway.units import US_PER_MS, WINDOW_US
from tests.admission.asking import START_US, Asker, Direct, limits, open_direct, row, settlement

PRODUCTS = ["embeddings", "rerank"]


@dataclass(frozen=True)
class Step:
    """One thing that happens; the numbers are read as the kind needs them."""

    kind: str
    after_us: int
    back_us: int
    first: int
    second: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(
            ["ask"] * 8 + ["again", "extend", "settle", "correct", "ride", "put", "plan"]
        ),
        st.one_of(
            st.integers(0, 600_000),
            st.sampled_from([0, 249_999, 250_000, 1_000_000, WINDOW_US - 1, WINDOW_US]),
            st.integers(0, 90_000_000),
            st.integers(0, 3_000_000),
        ),
        st.sampled_from([0] * 6 + [1, 400_000, 30_000_000]),
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    min_size=15,
    max_size=60,
)


# Limits in force and limits that are only tried: a step picks one for each product.
SHADOWS = (None, Shadow(rpm=8), Shadow(tpm=60), Shadow(9, 70, 4), Shadow(concurrency=3))
PLANS = tuple(
    (limits(rpm, tpm, 20, shadow), limits(rpm + 8, tpm and tpm + 50, 30, SHADOWS[place - 1]))
    for rpm, tpm in ((12, 100), (6, None), (30, 40))
    for place, shadow in enumerate(SHADOWS)
)


class Pair:
    """Redis and the twin side by side: every question goes to both and must be answered alike."""

    def __init__(self, direct: Direct, key_id: int) -> None:
        self.direct = direct
        self.key_id = key_id
        self.twin = Model(direct.scripts.span_us)
        self.time_us = START_US
        self.version = 0
        self.asked: list[Ask] = []
        self.askers = {
            product: Asker(
                f"k:{key_id}",
                product,
                limits(12, 100, 20, Shadow(9, 70, 4)),
                limits(rpm=20, tpm=150, concurrency=30),
                numbers=itertools.count(place * 1_000),
            )
            for place, product in enumerate(PRODUCTS)
        }

    async def run(self, steps: list[Step]) -> None:
        await self.put(1_000, 2)
        for step in steps:
            self.time_us += step.after_us - step.back_us
            if step.kind == "ask":
                asker = self.askers[PRODUCTS[step.second % 2]]
                await self.admit(asker.ask(step.first, step.second))
            elif step.kind == "plan":
                asker = self.askers[PRODUCTS[step.second % 2]]
                asker.limits, asker.premium = PLANS[step.first % len(PLANS)]
            elif step.kind == "put":
                await self.put(50 * step.first, step.second)
            elif self.asked:
                await self.about(self.asked[step.first % len(self.asked)], step)

    async def about(self, ask: Ask, step: Step) -> None:
        # Sometimes the window does not count it, sometimes it cost more than was held.
        told = settlement(ask, step.second if step.back_us != 1 else None, step.first * 2)
        if step.kind == "again":
            await self.admit(ask)
        elif step.kind == "extend":
            # Up to 1,600: sometimes less than is held, sometimes more than there is.
            wanted = step.second * step.second
            real = await self.direct.extend(ask, wanted)
            assert real == self.twin.extend(ask.subject, ask.request_id, wanted)
        elif step.kind == "correct":
            await self.direct.correct(told)
            self.twin.decided([told])
        elif step.kind == "ride":
            await self.admit(self.askers[ask.product].ask(step.first, 1), told)
        else:
            await self.direct.settle([told])
            self.twin.settle([told])

    async def put(self, trial: int, which: int) -> None:
        """Mostly a newer row, sometimes an older one; with a tier, a status and own limits."""
        self.version += 1
        own: dict[str, dict[str, int | None]] = {
            "embeddings": {"rpm": 5, "tpm": None},
            "rerank": {"tpm": 30, "concurrency": 2},
        }
        if which % 2:
            own["embeddings"] |= {"shadow_rpm": 4, "shadow_tpm": 0}
            own["rerank"] |= {"shadow_concurrency": which % 3, "shadow_tpm": None}
        balance = row(
            self.key_id,
            self.version if which % 5 else max(1, self.version - 2),
            trial=trial,
            paid=which,
            tier="premium" if which % 2 else "key",
            status={7: "suspended", 40: "revoked"}.get(which, "active"),
            limits=own if which % 3 == 1 else {},
        )
        await self.direct.settle([], balance)
        self.twin.put_balance(balance)

    async def admit(self, ask: Ask, *riders: object) -> None:
        found = await self.both(ask, self.time_us, *riders)
        self.asked.append(ask)
        if found.code not in (Code.RPM, Code.TPM):
            return
        wait_us = found.retry_after_ms * US_PER_MS
        early = await self.both(ask, self.time_us + wait_us - US_PER_MS)
        assert early.code in (Code.RPM, Code.TPM)
        self.time_us += wait_us
        due = await self.both(ask, self.time_us)
        assert due.code in (Code.ADMITTED, Code.CONCURRENCY)

    async def both(self, ask: Ask, time_us: int, *riders: object) -> Decision:
        if not riders:
            judged = await self.direct.judge(ask, time_us)
            assert judged == self.twin.judge(ask, time_us)
        real = await self.direct.admit(ask, time_us, riders)  # type: ignore[arg-type]
        if not riders:
            assert judged.code == real.code
            assert judged.retry_after_ms == real.retry_after_ms
        twin = self.twin.admit(ask, time_us, riders)  # type: ignore[arg-type]
        assert real == twin
        return real


async def play_long(direct: Direct, key_id: int, rng: random.Random, count: int) -> Pair:
    """Traffic for some ten minutes: numbers go round the ring of entries more than once."""
    pair = Pair(direct, key_id)
    wide = limits(rpm=200, tpm=40_000)
    pair.askers = {p: Asker(f"k:{key_id}", p, wide) for p in PRODUCTS}
    balance = row(key_id)
    await direct.settle([], balance)
    pair.twin.put_balance(balance)
    for _ in range(count):
        pair.time_us += rng.choice([0, 1_000, 60_000, 249_999, 250_000, 400_000, 2_000_000])
        pair.time_us -= rng.choice([0] * 40 + [500_000])
        ask = pair.askers["embeddings"].ask(rng.randrange(800))
        if (await pair.both(ask, pair.time_us)).code is not Code.ADMITTED:
            continue
        pair.asked.append(ask)
        told = settlement(rng.choice(pair.asked[-50:]), rng.randrange(800))
        if rng.random() < 0.3:
            await direct.settle([told])
            pair.twin.settle([told])
    return pair


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as found:
        yield found


@pytest.fixture(scope="module")
def key_ids() -> Iterator[int]:
    # Other tests leave their low numbers in the Redis that all share.
    return itertools.count(1_000_000)


@pytest.mark.parametrize("buckets", [1, 60, 240])
def test_every_decision_is_replayed_by_the_twin(
    redis_server: RedisServer, runner: asyncio.Runner, key_ids: Iterator[int], buckets: int
) -> None:
    """Limits, holds, balances, tiers, corrections and waits, with the clock stepping back."""
    direct = runner.run(open_direct(redis_server.url, buckets=buckets))

    @given(steps=STEPS)
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def play(steps: list[Step]) -> None:
        runner.run(Pair(direct, next(key_ids)).run(steps))

    try:
        play()
    finally:
        runner.run(direct.link.close())


@pytest.mark.parametrize("buckets", [1, 60, 240])
def test_long_traffic_is_replayed_by_the_twin(
    redis_server: RedisServer, runner: asyncio.Runner, key_ids: Iterator[int], buckets: int
) -> None:
    """More entries than the ring has places, with corrections up and down all the while."""
    direct = runner.run(open_direct(redis_server.url, buckets=buckets))
    try:
        rng = random.Random(buckets)
        pair = runner.run(play_long(direct, next(key_ids), rng, 1_500))
        assert pair.time_us - START_US > 6 * WINDOW_US
    finally:
        runner.run(direct.link.close())
