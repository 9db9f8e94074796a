"""The suite's second look: what passes alone is told and forgiven, what fails twice is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.suite import FEW

ROOT = Path(__file__).resolve().parents[2]
_ONCE = """
def test_once(tmp):
    mark = tmp / "seen"
    new = not mark.exists()
    mark.touch()
    assert not new
"""
_TMP = "import pathlib, pytest\n@pytest.fixture\ndef tmp():\n    return pathlib.Path('.')\n"
_NEVER = "def test_never():\n    assert False\n"


def _run(folder: Path, *texts: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(_TMP)
    for number, text in enumerate(texts):
        (folder / f"test_{number}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tests.suite", "-n", "0", "-p", "no:cacheprovider"],
        cwd=folder,
        # Only the plugin that is asked for: the others take seconds to load.
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p xdist.plugin",
        },
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout


def test_what_passes_alone_is_named_and_does_not_fail_the_run(tmp_path: Path) -> None:
    code, said = _run(tmp_path, _ONCE)
    assert code == 0, said
    assert said.endswith("passed only alone, look at it:\ntest_0.py::test_once\n")


@pytest.mark.parametrize("texts", [(_NEVER,), (_ONCE, _NEVER)])
def test_what_fails_twice_fails_the_run(tmp_path: Path, texts: tuple[str, ...]) -> None:
    code, said = _run(tmp_path, *texts)
    assert code == 1, said


def test_many_failures_fail_the_run_at_once(tmp_path: Path) -> None:
    code, said = _run(
        tmp_path,
        _ONCE,
        *(
            text.replace("once", f"x{n}").replace("seen", f"s{n}")
            for n, text in enumerate([_ONCE] * FEW)
        ),
    )
    assert code == 1, said
    assert "once more" not in said
