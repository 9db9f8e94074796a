"""Flips of the product: each still has its one place, and today's is noticed by the seeds."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.embedded.redis_server import RedisServer
from tests.simulation.mutants import FLIPS, ROOT, TABLE, Flip, notice

# Of `make mutants`: which flips a few seeds notice. One of them is tried in each run of the suite.
QUICK_SEEDS = 12
_ROW = re.compile(r"\| (.+?) \| \S+ \| (\d+|-) \| .+? \| (\d+) \|")


@pytest.mark.parametrize("flip", FLIPS, ids=lambda flip: flip.name)
def test_a_flip_changes_exactly_one_place(flip: Flip, tmp_path: Path) -> None:
    path = tmp_path / flip.file
    path.parent.mkdir(parents=True)
    path.write_text((ROOT / flip.file).read_text(encoding="utf-8"), encoding="utf-8")
    flip.apply(tmp_path)
    assert flip.new in path.read_text(encoding="utf-8")


def test_the_table_tells_of_every_flip() -> None:
    assert set(_told()) == {flip.name for flip in FLIPS}


def test_the_flip_of_the_day_is_noticed(redis_server: RedisServer) -> None:
    quick = sorted(name for name, seeds in _told().items() if seeds <= QUICK_SEEDS)
    name = quick[datetime.now(UTC).toordinal() % len(quick)]
    flip = next(each for each in FLIPS if each.name == name)
    found = notice(flip, str(redis_server.socket), 4 * QUICK_SEEDS)
    assert found.seed is not None, f"nothing notices that {name}"


def _told() -> dict[str, int]:
    """Seeds until a flip was noticed, by its name."""
    rows = _ROW.findall(TABLE.read_text(encoding="utf-8"))
    return {name: 1_000_000 if seed == "-" else int(tried) for name, seed, tried in rows}
