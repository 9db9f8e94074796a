"""The replay under the plan in force decides as the real gate has decided, request for request."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.admission.ask import Ask, Code, Settlement
from gateway.admission.gate import Gate
from gateway.admission.scripts import DEFAULT_BUCKETS
from gateway.arrivals.fold import Fold
from gateway.arrivals.form import packed
from gateway.arrivals.pseudonym import pseudonyms
from gateway.arrivals.replay import Replay
from gateway.arrivals.report import in_force
from gateway.arrivals.shelf import Shelf
from gateway.embedded.redis_server import RedisServer
from gateway.redis_link import RedisLink
from gateway.units import WINDOW_US
from tests.admission.asking import START_US, Asker, limits, row

SPAN_US = WINDOW_US // DEFAULT_BUCKETS
PLANS = [limits(6, 60, 3), limits(12, None, 9), limits(3, 30, 9), limits(9, 200, 2)]
SLOW = [HealthCheck.too_slow]


@dataclass(frozen=True)
class Step:
    kind: str
    after_us: int
    first: int
    second: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["ask"] * 8 + ["end"] * 4 + ["plan", "own"]),
        st.one_of(st.integers(1, 600_000), st.integers(1, 20_000_000), st.just(WINDOW_US)),
        st.integers(0, 40),
        st.integers(0, 60),
    ),
    min_size=20,
    max_size=80,
)


class Play:
    """Traffic of a key and of an address before a real gate, all of it told to a log."""

    def __init__(self, gate: Gate, key_id: int) -> None:
        self.gate = gate
        self.fold = Fold(pseudonyms(b"a pepper of the tests"))
        self.key_id, self.version = key_id, 1
        self.running: list[Ask] = []
        self.codes: list[Code] = []
        subjects = (f"k:{key_id}", f"a:10.0.{key_id % 65_536}")
        self.askers = [
            Asker(subject, product, PLANS[0], limits(8, 90, 4))
            for subject in subjects
            for product in ("embeddings", "rerank")
        ]
        for place, asker in enumerate(self.askers):
            asker.numbers = itertools.count(place * 10_000)

    async def run(self, steps: list[Step]) -> None:
        self.gate.clock_us = START_US
        await self.put({})
        for step in steps:
            self.gate.clock_us += step.after_us
            asker = self.askers[step.second % 4]
            if step.kind == "ask":
                await self.ask(asker, step.first, 10**13 if step.first == 13 else 1)
            elif step.kind == "plan":
                asker.limits = PLANS[step.first % len(PLANS)]
            elif step.kind == "own":
                own: list[dict[str, dict[str, int | None]]] = [
                    {},
                    {"embeddings": {"rpm": 4, "tpm": 50}},
                ]
                await self.put(own[step.first % 2])
            elif self.running:
                self.end(self.running.pop(step.first % len(self.running)), step.second)

    async def put(self, own: dict[str, dict[str, int | None]]) -> None:
        self.version += 1
        tier = "premium" if self.version % 3 == 0 else "key"
        await self.gate.put_balance(row(self.key_id, self.version, tier=tier, limits=own))

    async def ask(self, asker: Asker, cost: int, hold: int) -> None:
        # The memory of refusals goes by another clock than the one that is given.
        self.gate.refusals._known.clear()
        ask = asker.ask(cost, hold)
        decision = await self.gate.admit(ask)
        self.fold.arrived([(ask, decision)])
        self.codes.append(decision.code)
        if decision.code is Code.ADMITTED:
            self.running.append(ask)

    def end(self, ask: Ask, used: int) -> None:
        told = Settlement(ask.subject, ask.tag, ask.product, ask.request_id, used, 0)
        self.gate.decided(told)
        self.fold.ended([(ask.request_id, used, self.gate.clock_us)])


def replayed(shelf: Shelf) -> list[Code]:
    replay, found = Replay(SPAN_US), []
    for event in shelf.events():
        if event.kind is None:
            replay.ended(event.time_us, event.name, event.tokens)
            continue
        code = replay.arrived(
            event.time_us,
            (event.subject, event.kind.product),
            event.name,
            event.tokens,
            in_force(event.kind),
            really=Code(event.kind.code),
        )
        found.append(code)
    return found


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as found:
        yield found


async def _open(url: str) -> tuple[Gate, RedisLink]:
    link = RedisLink(url, deadline_ms=5_000)
    gate = Gate(link)
    await link.open()
    return gate, link


def test_the_plan_in_force_gives_the_decisions_that_were_made(
    redis_server: RedisServer, runner: asyncio.Runner, tmp_path: Path
) -> None:
    """Tiers, own limits, plans that change, refunds and places; several blocks in a segment."""
    gate, link = runner.run(_open(redis_server.url))
    key_ids = itertools.count(7_000_000)

    @given(steps=STEPS, cut=st.integers(5, 75))
    @settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
    def play(steps: list[Step], cut: int) -> None:
        key_id = next(key_ids)
        playing = Play(gate, key_id)
        path = tmp_path / str(key_id) / "20270115T080000-here-1-1.arrivals"
        path.parent.mkdir()
        runner.run(playing.run([*steps[:cut], Step("ask", 1, 1, 1)]))
        first = packed(playing.fold.take())
        clock_us = gate.clock_us
        runner.run(_go_on(playing, clock_us, [*steps[cut:], Step("ask", 1, 1, 2)]))
        path.write_bytes(first + packed(playing.fold.take()))
        assert replayed(Shelf(path.parent)) == playing.codes

    try:
        play()
    finally:
        runner.run(link.close())


async def _go_on(playing: Play, clock_us: int, steps: list[Step]) -> None:
    playing.gate.clock_us = clock_us
    for step in steps:
        playing.gate.clock_us += step.after_us
        asker = playing.askers[step.second % 4]
        if step.kind == "ask":
            await playing.ask(asker, step.first, 1)
        elif playing.running:
            playing.end(playing.running.pop(0), step.second)
