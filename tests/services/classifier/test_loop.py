"""The event loop stays free, whatever is asked: measured from within the loop.

Other processes share the cores, so the best of a few tries is what counts.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from services.classifier.ask import Train, ZeroShot
from services.classifier.classifying import Scorer
from services.classifier.learning import learn
from services.classifier.store import Store
from services.classifier.training import Trainer
from services.classifier.uses import Uses
from services.models.budget import Budget
from services.models.door import Answer
from tests.services.classifier.standin import MODEL, StandIn

LIMIT_S = 0.020
TRIES = 6
PAUSE_S = 0.001
WIDTH = 384
INPUTS = [f"w{n} w{n % 7}" for n in range(1_000)]
LABELS = tuple(f"label {n}" for n in range(256))
STORE = Store(None, {})


async def worst_gap_s(work: Callable[[], Awaitable[object]]) -> float:
    """The longest work of the loop's thread between two turns while `work` was going on."""
    done = asyncio.ensure_future(work())
    worst_s = 0.0
    while not done.done():
        before = time.thread_time()
        await asyncio.sleep(PAUSE_S)
        worst_s = max(worst_s, time.thread_time() - before)
    await done
    return worst_s


async def least_gap_s(work: Callable[[], Awaitable[object]]) -> float:
    """The best of some tries; stops at the first that is good enough."""
    best_s = 1.0
    for _ in range(TRIES):
        best_s = min(best_s, await worst_gap_s(work))
        if best_s < LIMIT_S:
            break
    return best_s


async def test_thousand_inputs_by_256_labels_leave_the_loop_free() -> None:
    scorer = Scorer(StandIn(), STORE, Uses(STORE))
    asked = ZeroShot(MODEL, INPUTS, {None: LABELS})
    sizes: list[Answer] = []

    async def work() -> None:
        sizes.append(await scorer.zero_shot(asked, Budget()))

    assert await least_gap_s(work) < LIMIT_S
    assert len(sizes[-1].body) > 8_000_000
    await scorer.stop()


async def test_the_largest_training_leaves_the_loop_free() -> None:
    engine = StandIn(dimension=WIDTH)
    trainer = Trainer(engine, STORE)
    labels = tuple(f"l{n % 16}" for n in range(1_024))
    texts = [f"w{n} {label}" for n, label in enumerate(labels)]
    asked = Train(MODEL, None, "private", texts, labels, tuple(set(labels)), 1_000_000)
    found = await engine.embed(texts, MODEL)

    async def work() -> None:
        await trainer._learn(asked, found, None)

    assert await least_gap_s(work) < LIMIT_S
    assert learn(None, (), found.vectors, labels, 10).labels == tuple(f"l{n}" for n in range(16))
    await trainer.stop()
