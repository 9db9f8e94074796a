"""A seed is all there is to a run: the same one gives the same trace, anywhere."""

import os
import subprocess
import sys

import pytest

from tests.simulation import run
from tests.simulation.redis_store import Talk
from tests.simulation.run import run_seed
from tests.simulation.seams import Holder
from tests.simulation.watcher import Broken

SEEDS = (3, 11, 37, 90)
_TELL = """
import sys
from tests.simulation.redis_store import Talk
from tests.simulation.run import run_seed
from tests.simulation.seams import installed
with installed() as holder:
    talk = Talk(sys.argv[1])
    print(*(run_seed(int(seed), talk, holder).digest for seed in sys.argv[2:]))
"""


def test_the_same_seed_gives_the_same_trace(talk: Talk, holder: Holder) -> None:
    first = [run_seed(seed, talk, holder).digest for seed in SEEDS]
    assert [run_seed(seed, talk, holder).digest for seed in SEEDS] == first
    assert len(set(first)) == len(SEEDS)


def test_the_trace_is_the_same_in_another_process_with_other_hashes(
    talk: Talk, holder: Holder
) -> None:
    here = [run_seed(seed, talk, holder).digest for seed in SEEDS]
    done = subprocess.run(
        [sys.executable, "-c", _TELL, talk.path, *map(str, SEEDS)],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == here


def test_a_seed_that_breaks_is_told_with_its_command_and_its_trace(
    talk: Talk, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise Broken("the moon: is green")

    monkeypatch.setattr(run, "at_any_time", broken)
    found = run_seed(37, talk, holder)
    assert found.broken == "the moon: is green"
    told = found.told()
    assert "make simulate SIMULATION_SEED=37" in told
    assert found.tail
    assert found.tail[-1] in told
