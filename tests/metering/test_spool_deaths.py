"""A real process that is killed or has a disk that fails: nothing acknowledged is lost."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.metering.event import CHARGE, COST_TOKENS, KIND, REQUEST_ID, VOID
from gateway.metering.spool_files import NOWHERE, read_frames
from tests.embedded.processes import ROOT
from tests.metering.outcomes import INSTANCE

_PATIENCE_S = 120


@contextmanager
def appender(root: Path) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "tests.metering.appender", str(root)]
    pipe = subprocess.PIPE
    # A limit on the size of files must not meet the file in which pytest catches errors.
    nowhere = subprocess.DEVNULL
    with subprocess.Popen(
        words, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=nowhere, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def listen(process: subprocess.Popen[str], word: str, count: int) -> list[str]:
    """Lines until so many of them begin with that word."""
    assert process.stdout is not None
    lines: list[str] = []
    give_up_s = time.monotonic() + _PATIENCE_S
    while sum(line.startswith(word) for line in lines) < count:
        assert time.monotonic() < give_up_s
        line = process.stdout.readline()
        assert line, "it ended"
        lines.append(line.strip())
    return lines


def ids(lines: list[str], word: str) -> set[str]:
    return {line.split()[1] for line in lines if line.startswith(f"{word} ")}


def kinds(root: Path) -> dict[str, set[tuple[str, int]]]:
    """What the files say of each request."""
    found: dict[str, set[tuple[str, int]]] = {}
    for frame in read_frames(root / INSTANCE, NOWHERE):
        for event in frame.events:
            found.setdefault(event[REQUEST_ID], set()).add((event[KIND], event[COST_TOKENS]))
    return found


@pytest.mark.parametrize("after", [1, 150, 1_500])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    tmp_path: Path, after: int
) -> None:
    with appender(tmp_path) as process:
        lines = listen(process, "ok", after)
        process.send_signal(signal.SIGKILL)
        assert process.stdout is not None
        lines += [line.strip() for line in process.stdout if line.endswith("\n")]
        process.wait(60)
    acknowledged = ids(lines, "ok")
    assert len(acknowledged) >= after
    found = kinds(tmp_path)
    assert acknowledged <= set(found)
    assert all(found[each] == {(CHARGE, 5)} for each in acknowledged)


def test_a_full_disk_is_told_to_the_clients_costs_nothing_and_heals_by_itself(
    tmp_path: Path,
) -> None:
    """Every outcome is in the files once: a charge if it was acknowledged, else a void."""
    with appender(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = listen(process, "ok", 100)
        before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        lines += listen(process, "told", 20)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
        lines += listen(process, "ok", 100)
        process.stdin.close()
        lines += [line.strip() for line in process.stdout]
        assert process.wait(60) == 0
    charged, told = ids(lines, "ok"), ids(lines, "told")
    found = kinds(tmp_path)
    assert {each: found[each] for each in told} == {each: {(VOID, 0)} for each in told}
    assert {each: found[each] for each in charged} == {each: {(CHARGE, 5)} for each in charged}
    assert set(found) == charged | told


def test_a_disk_that_stays_broken_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with appender(tmp_path) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = listen(process, "ok", 50)
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, hard))
        lines += listen(process, "told", 20)
        process.stdin.close()
        lines += [line.strip() for line in process.stdout]
        assert process.wait(60) == 0
    found = kinds(tmp_path)
    assert ids(lines, "ok") == set(found)
    assert os.listdir(tmp_path) == [INSTANCE]
