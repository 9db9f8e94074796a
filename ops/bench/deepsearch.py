"""`python -m ops.bench.deepsearch [seed] [questions]`: how much of what a question needs is read.

A made-up encyclopaedia of 3,000 short passages, two sets of questions of several hops, the mind
without a model, the embedded index and a plain BM25 search. In this process, so that the seconds
are those of the research and the models alone. Written to ops/bench/deepsearch.md.
"""

import asyncio
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ops.bench.deepsearch_tools import Bench, Plain, Searcher, indexed, models
from services.deepsearch.research.extractive import Extractive
from services.deepsearch.research.loop import research
from services.deepsearch.research.mind import Options, Task
from services.deepsearch.thoughts import Silent
from services.models.engine import Engine
from tests.services.deepsearch.research.things_of_world import Question
from tests.services.deepsearch.research.world import World, build

HERE = Path(__file__).parent
RESULTS = 10
DEADLINE_S = 120.0
ASKED = {"harder": 0.35, "easier": 0.62}


@dataclass(slots=True)
class Row:
    """What came of one set."""

    complete: int = 0
    at_once: int = 0
    answered: int = 0
    reads: int = 0
    searches: int = 0
    tokens: int = 0
    seconds: list[float] = field(default_factory=list)
    by_step: Counter[str] = field(default_factory=Counter)


async def main(seed: int = 1, questions: int = 40) -> None:
    """Run all and write the table."""
    world = build(seed=seed, questions=questions)
    lines = _head(seed, questions)
    with tempfile.TemporaryDirectory() as folder:
        async with models() as engine, indexed(Path(folder), world.passages) as index:
            searchers: dict[str, Searcher] = {"index": index, "plain BM25": Plain(world.passages)}
            for name, searcher in searchers.items():
                for kind, asked in (("harder", world.hard), ("easier", world.easy)):
                    row = await _measured(searcher, world, engine, asked)
                    lines.append(_line(name, kind, row, len(asked)))
                    sys.stdout.write(lines[-1] + "\n")
                    sys.stdout.flush()
    (HERE / "deepsearch.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


async def _measured(
    searcher: Searcher, world: World, engine: Engine, asked: Sequence[Question]
) -> Row:
    row = Row()
    for question in asked:
        tools = Bench(searcher, world.passages, engine)
        began_s = time.monotonic()
        options = Options(deadline_s=began_s + DEADLINE_S)
        found = await research(Task(question.text), Extractive(), tools, Silent(), options)
        row.seconds.append(time.monotonic() - began_s)
        read = {int(url.rpartition("/p")[2]) for url in found.read_urls}
        row.complete += question.support <= read
        at_once = {place for place, _ in await searcher.find(question.text, RESULTS)}
        row.at_once += question.support <= at_once
        row.answered += question.answer.lower() in found.answer.split("\n")[0].lower()
        row.reads += len(read)
        row.searches += tools.calls["search"]
        row.tokens += tools.used.total()
        row.by_step += tools.used
    return row


def _head(seed: int, questions: int) -> list[str]:
    return [
        "# Measured by `python -m ops.bench.deepsearch`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, seed {seed}, {questions} questions a set.",
        "Share of questions for which all supporting passages were read; beside it one query with "
        f"{RESULTS} results.",
        "The bare answer is right where it contains the name that the world knows; tokens by step "
        "in brackets.",
        "",
        "| search | set | asked | all read | one query | answered | reads | searches | tokens | s, "
        "median | s, 90 % |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]


def _line(name: str, kind: str, row: Row, count: int) -> str:
    seconds = sorted(row.seconds)
    steps = ", ".join(f"{step} {used // count}" for step, used in row.by_step.most_common())
    cells = [
        name,
        kind,
        f"{ASKED[kind]}",
        f"{row.complete / count:.2f}",
        f"{row.at_once / count:.2f}",
        f"{row.answered / count:.2f}",
        f"{row.reads / count:.0f}",
        f"{row.searches / count:.0f}",
        f"{row.tokens // count} ({steps})",
        f"{seconds[count // 2]:.1f}",
        f"{seconds[count * 9 // 10]:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
