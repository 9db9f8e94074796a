"""`make test`: the whole suite; the few that failed once more, alone; the second word counts.

Some thousand tests kill real servers and watch real clocks on a machine of unknown load: one that
fails in company and passes alone is told by name, with its first failure whole, and does not fail
the run. Refuses to do so for more than `FEW`, or for anything that fails twice.
"""

import subprocess
import sys
from typing import Final

import pytest

# One that hangs may spoil its neighbours: they fail for what it left behind.
FEW: Final = 8


class Failed:
    """Which tests failed, by their ids, in the order of their failing."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.nodeid not in self.ids:
            self.ids.append(report.nodeid)


def run(words: list[str]) -> int:
    """The exit code of the suite."""
    failed = Failed()
    code = int(pytest.main(words, plugins=[failed]))
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed.ids) <= FEW:
        return code
    _say("", "once more, alone:", *failed.ids)
    code = subprocess.run([sys.executable, "-m", "pytest", "-n", "0", *failed.ids]).returncode
    if code == 0:
        _say("passed only alone, look at it:", *failed.ids)
    return code


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
