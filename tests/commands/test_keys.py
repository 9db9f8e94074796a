"""`sluice keys` and `sluice reconcile` against a running gateway."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.commands.sluice import Up, up
from tests.embedded.processes import ROOT


@dataclass(frozen=True, slots=True)
class House:
    """A running gateway and its data folder."""

    folder: Path
    running: Up

    def sluice(self, *words: str) -> tuple[int, str]:
        """One command; exit code and everything it said."""
        settings = {
            "SLUICE_DATA_DIR": str(self.folder),
            "SLUICE_PORT": str(self.running.port),
            "SLUICE_OPS_PORT": str(self.running.ops_port),
        }
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env={**os.environ, **settings},
        )
        return done.returncode, done.stdout

    def answer(self, *words: str) -> Any:
        """The JSON that a successful command prints."""
        code, text = self.sluice(*words)
        assert code == 0, text
        return json.loads(text)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    """One gateway for the tests of this file."""
    made = Path(tempfile.mkdtemp(prefix="sluice-keys-"))
    with up(made) as running:
        yield House(made, running)
    shutil.rmtree(made)


def test_a_minted_key_is_found_credited_limited_and_suspended(house: House) -> None:
    minted = house.answer("keys", "mint")
    assert minted["balance"]["total"] == 10_000_000
    key_id = minted["key_id"]
    assert house.answer("keys", "find", minted["api_key"][-4:])["items"][0]["key_id"] == key_id
    for _ in range(2):
        credited = house.answer("keys", "credit", key_id, "500", "order-1")
        assert credited["balance"]["paid"] == 500
    assert credited["tier"] == "premium"
    house.answer("keys", "limits", key_id, '{"embeddings": {"rpm": 7}}')
    assert house.answer("keys", "status", key_id, "suspended")["status"] == "suspended"
    assert house.answer("keys", "show", key_id)["status"] == "suspended"


def test_a_refusal_is_one_line_and_exit_code_1(house: House) -> None:
    code, text = house.sluice("keys", "show", "key_nobody")
    assert code == 1
    assert text.startswith("sluice: 4")
    assert len(text.splitlines()) == 1


def test_reconcile_prints_every_check_and_finds_nothing(house: House) -> None:
    code, text = house.sluice("reconcile")
    assert code == 0, text
    assert len(text.splitlines()) > 5
    assert all(line.startswith("ok ") for line in text.splitlines())


def test_no_running_gateway_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "admin-token").write_text("x" * 20)
    env = {"SLUICE_DATA_DIR": str(tmp_path), "SLUICE_OPS_PORT": "20999"}
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "keys", "show", "key_x"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
    )
    assert done.returncode == 2
    assert "nothing sensible answers on 127.0.0.1 port 20999" in done.stderr
    assert done.stderr.rstrip().endswith("is it running?")
