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

from gateway.__main__ import main
from gateway.products.builtin import builtin_text
from tests.commands.sluice import Up, up
from tests.embedded.processes import ROOT


@dataclass(frozen=True, slots=True)
class House:
    """A running gateway and its data folder."""

    folder: Path
    running: Up

    @property
    def products(self) -> Path:
        """The catalogue's file."""
        return self.folder / "products.toml"

    def sluice(self, *words: str) -> tuple[int, str]:
        """One command; exit code and everything it said."""
        settings = {
            "SLUICE_DATA_DIR": str(self.folder),
            "SLUICE_PORT": str(self.running.port),
            "SLUICE_OPS_PORT": str(self.running.ops_port),
            "SLUICE_PRODUCTS": str(self.products),
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
    products = made / "products.toml"
    products.write_text(builtin_text())
    with up(made, env={"PRODUCTS": str(products)}) as running:
        yield House(made, running)
    shutil.rmtree(made)


def test_a_minted_key_is_found_credited_limited_and_suspended(house: House) -> None:
    minted = house.answer("keys", "mint", "--owner", "Ada L", "--json")
    assert minted["balance"]["total"] == 10_000_000
    key_id, last = minted["key_id"], minted["api_key"][-4:]
    for query in (last, key_id, "ada"):
        (found,) = house.answer("keys", "find", query, "--json")["items"]
        assert found["key_id"] == key_id
    for _ in range(2):
        credited = house.answer("keys", "credit", key_id, "500", "order-1", "--json")
        assert credited["balance"]["paid"] == 500
    assert credited["tier"] == "premium"
    house.answer("keys", "limits", key_id, "embeddings", "--rpm", "7", "--tpm", "0", "--json")
    assert house.answer("keys", "suspend", key_id, "--json")["status"] == "suspended"
    shown = house.answer("keys", "show", key_id, "--json")
    assert shown["status"] == "suspended"
    assert shown["limits"] == {"embeddings": {"rpm": 7, "tpm": 0}}
    assert house.answer("keys", "activate", key_id, "--json")["status"] == "active"
    reset = house.answer("keys", "limits", key_id, "embeddings", "--reset", "--json")
    assert reset["limits"] == {}
    assert house.answer("keys", "owner", key_id, "Bob", "--json")["owner"] == "Bob"


def test_people_read_lines_and_a_table(house: House) -> None:
    code, text = house.sluice("keys", "mint", "--owner", "Grace H", "--trial-tokens", "1500")
    assert code == 0
    told = {line[:16].strip(): line[17:] for line in text.splitlines()}
    key, note = told["key"].split("   ")
    assert key.startswith("sluice_")
    assert note == "(shown this once)"
    assert (told["owner"], told["tier"], told["trial"]) == ("Grace H", "key", "1,500")
    house.sluice("keys", "limits", told["id"], "rerank", "--concurrency", "1200")
    code, text = house.sluice("keys", "show", told["id"])
    told = {line[:16].strip(): line[17:] for line in text.splitlines()}
    assert told["last characters"] == key[-4:]
    assert told["own limits"] == "rerank: concurrency 1,200"
    assert (told["held"], told["total"], told["open requests"]) == ("0", "1,500", "0")
    code, text = house.sluice("keys", "find", "grace")
    head, row = text.splitlines()
    assert head.startswith("KEY ID")
    assert head.endswith("TIER  STATUS  TRIAL  PAID  CREATED           OWNER")
    assert row.split()[:5] == [told["id"], key[-4:], "key", "active", "1,500"]
    assert row.endswith("Grace H")
    assert house.sluice("keys", "find", "nobody at all") == (0, "no key is found\n")


def test_operators_are_not_limited_per_address(house: House) -> None:
    # One more than KEYS_PER_ADDRESS; `up` itself minted one.
    for _ in range(5):
        assert house.sluice("keys", "mint")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["limits", "key_x", "--rpm", "1"], "name the product"),
        (["limits", "key_x", "embeddings"], "either --reset, or at least one of"),
        (["limits", "key_x", "embeddings", "--reset", "--rpm", "1"], "either --reset, or at"),
    ],
)
def test_limits_that_say_nothing_are_not_sent(house: House, words: list[str], told: str) -> None:
    code, text = house.sluice("keys", *words)
    assert code == 2
    assert told in text


def test_help_shows_examples_for_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    def helped(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["keys", *words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    text = helped()
    for word in ("mint", "find", "show", "credit", "limits", "suspend", "activate", "owner"):
        assert f"    {word}" in text
        assert "--json" in helped(word)
    assert "sluice keys credit key_" in text
    assert "revoke it: DELETE /v1/keys/me" in text


def test_a_refusal_is_one_line_and_exit_code_1(house: House) -> None:
    for words, status in (
        (("show", "key_nobody"), 400),
        (("show", "key_00000000001"), 404),
        (("credit", "key_00000000001", "0", "r"), 400),
        (("limits", "key_00000000001", "gold", "--rpm", "1"), 400),
        (("mint", "--trial-tokens", "-1"), 400),
    ):
        code, text = house.sluice("keys", *words)
        assert code == 1
        assert text.startswith(f"sluice: {status}: ")
        assert len(text.splitlines()) == 1


def test_reconcile_prints_every_check_and_finds_nothing(house: House) -> None:
    code, text = house.sluice("reconcile")
    assert code == 0, text
    assert len(text.splitlines()) > 5
    *checks, verdict = text.splitlines()
    assert all(line.startswith("ok ") for line in checks)
    assert verdict == f"ok     nothing is lost: {len(checks)} checks and no difference"


def test_usage_writes_files_that_verify_export_takes(house: House, tmp_path: Path) -> None:
    key_id = house.answer("keys", "mint", "--json")["key_id"]
    words = {"export": (key_id,), "days": (key_id,), "published": ()}
    files = {name: str(tmp_path / name) for name in words}
    for name, more in words.items():
        assert house.sluice("usage", name, *more, "--out", files[name]) == (0, "")
    code, text = house.sluice("usage", "export", key_id)
    assert (code, text.split(",")[0]) == (0, "seq")
    paths = (files["export"], "--days", files["days"], "--published", files["published"])
    code, text = house.sluice("verify-export", *paths)
    assert (code, text.startswith(f"ok     {key_id}: 0 days proved")) == (0, True), text
    code, text = house.sluice("usage", "export", "key_00000000001")
    assert (code, text.startswith("sluice: 404")) == (1, True), text
    code, text = house.sluice("verify-export", str(tmp_path / "gone"), *paths[1:])
    assert (code, "cannot be read" in text) == (2, True), text


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
    assert done.stderr == (
        "sluice: nothing answers on 127.0.0.1 port 20999 (Connection refused): "
        "start it, or set SLUICE_OPS_PORT to the port it has\n"
    )


def test_limits_are_shown_set_and_reset(house: House) -> None:
    """Each answer is what holds for the key from then on."""
    key_id = house.answer("keys", "mint", "--json")["key_id"]
    usual = house.answer("limits", "show", key_id, "--json")["embeddings"]
    assert usual["own"] == []
    changed = house.answer("limits", "set", key_id, "embeddings", "--rpm", "7", "--json")
    assert changed["embeddings"] == {**usual, "rpm": 7, "own": ["rpm"]}
    code, text = house.sluice("limits", "show", key_id)
    assert code == 0
    assert "7*" in text
    code, text = house.sluice("limits", "set", key_id, "embeddings", "--shadow-rpm", "5")
    assert code == 0
    assert text.count("in shadow: rpm 5") == 1
    for words in (("embeddings",), ()):
        reset = house.answer("limits", "reset", key_id, *words, "--json")
        assert reset["embeddings"] == usual
    assert house.sluice("limits", "set", key_id, "embeddings")[0] == 2
    assert house.sluice("limits", "show", "key_00000000001")[0] == 1


def test_another_catalogue_is_in_force_in_every_process_of_the_machine(house: House) -> None:
    key_id = house.answer("keys", "mint", "--json")["key_id"]
    before = house.answer("limits", "show", key_id, "--json")["segment"]
    wanted = house.folder / "wanted.toml"
    wanted.write_text(builtin_text().replace("key = { rpm = 200 }", "key = { rpm = 201 }"))
    assert wanted.read_text() != builtin_text()
    assert house.sluice("limits", "apply", str(wanted), "--check")[1].count("rpm 201,") == 1
    applied = house.answer("limits", "apply", str(wanted), "--json")
    assert applied["everywhere"]
    # Two gateways, the operations listener; the background work runs beside the latter.
    assert len(applied["processes"]) >= 3
    assert {each["version"] for each in applied["processes"]} == {applied["version"]}
    assert before["rpm"] == 200
    assert house.answer("limits", "show", key_id, "--json")["segment"]["rpm"] == 201
    code, text = house.sluice("simulate-limits", "--plan", str(wanted), "--since", "1h")
    assert code in (0, 1)
    assert "the plan in force, replayed" in text


def test_top_shows_one_interval_as_text_and_as_json(house: House) -> None:
    found = house.answer("top", "--once", "--interval", "0.5", "--json")
    assert found["gateways"] == found["gateways_wanted"] > 0
    assert found["ship_failures_per_s"] == 0
    code, text = house.sluice("top", "--once", "--interval", "0.2")
    assert code == 0
    assert text.startswith("gateways ")
    assert "\x1b" not in text
    assert house.sluice("top", "--interval", "0")[0] == 2
