"""How fast the models are beside bare loops over the same graph and texts, in turns."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence

from ops.bench.bare import Bare
from ops.bench.public_texts import documentation
from ops.bench.quality_door import Door

_TEXTS = 192
_ROUNDS = 5
_SHORT = {
    "a question of 9 tokens": "What is the capital of France?",
    "a sentence of 30 tokens": "Paris, on the river Seine in the north of the country, has been "
    "the capital of France since the Middle Ages and is its largest city.",
}
_SHORT_CALLS = 40


async def speed(door: Door) -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    bare = Bare(door.model)
    texts = [f"{question} {answer}" for question, answer in documentation(_TEXTS)]
    await door.straight(texts[:32])
    await asyncio.to_thread(bare.batched, texts[:32])
    rates = [await _round(door, bare, texts) for _ in range(_ROUNDS)]
    single_core = Bare(door.model, threads=1)
    short = [
        row
        for name, text in _SHORT.items()
        for row in await _short(door, single_core, name, [text])
    ]
    return [
        (
            f"throughput, {_TEXTS} texts: the service beside sorted batches of 32",
            ">= 0.9 x",
            _spread([batched / ours for ours, batched, _ in rates]),
        ),
        (
            f"throughput, {_TEXTS} texts: the service beside a text at a time",
            "",
            _spread([single / ours for ours, _, single in rates]),
        ),
        (
            "  texts a second of the service",
            "",
            f"{_TEXTS / statistics.median(ours for ours, _, _ in rates):.0f}",
        ),
        *short,
    ]


async def _round(door: Door, bare: Bare, texts: Sequence[str]) -> tuple[float, float, float]:
    ours = await _timed(lambda: door.straight(texts))
    batched = await _timed(lambda: asyncio.to_thread(bare.batched, texts))
    single = await _timed(lambda: asyncio.to_thread(bare.one_by_one, texts))
    return ours, batched, single


async def _short(
    door: Door, bare: Bare, name: str, text: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Rows about one short text: medians of calls in blocks.

    If single calls took turns, two copies of the weights would drive each other out of the cache.
    """

    async def plain() -> None:
        bare.one_by_one(text)

    rounds = [
        (
            await _median(lambda: door.straight(text)),
            await _median(lambda: door.through(text)),
            await _median(plain),
        )
        for _ in range(_ROUNDS)
    ]
    middle = [f"{statistics.median(each[at] for each in rounds) * 1e3:.2f}" for at in (2, 0, 1)]
    what = f"p50 of {name}"
    return [
        (
            f"{what}: the service beside the bare call on one core",
            "<= 1.5 x",
            _spread([ours / alone for ours, _, alone in rounds]),
        ),
        (
            f"{what}: through the gateway beside the bare call on one core",
            "<= 1.5 x",
            _spread([through / alone for _, through, alone in rounds]),
        ),
        ("  the bare call / the service / the gateway", "", " / ".join(middle) + " ms"),
    ]


async def _median(work: Callable[[], Awaitable[object]]) -> float:
    return statistics.median([await _timed(work) for _ in range(_SHORT_CALLS)])


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    begun_s = time.perf_counter()
    await work()
    return time.perf_counter() - begun_s


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} x ({min(values):.2f} to {max(values):.2f})"
