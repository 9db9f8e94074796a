"""A secret is replaced while everybody goes on: at each step both sides still understand."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.__main__ import main
from gateway.edge.forward import Signer
from gateway.keys.format import RANDOM_BYTES, make_key
from gateway.keys.store import key_store
from gateway.ledger.book import Book
from gateway.postgres import Postgres
from gateway.sql import load_queries
from services.serving import build_app
from services.settings import load

OLD, NEW = "the-old-one-of-these-tests", "the-new-one-of-these-tests"


def _lists(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the file has at first and after each step."""
    monkeypatch.setenv("SLUICE_DATA_DIR", str(path))
    (path / name).write_text(f"{OLD}\n")
    found = [(path / name).read_text().strip().split(",")]
    for step in ("begin", "switch", "finish"):
        assert main(["secrets", step, name, "--forget-keys"]) == 0
        found.append((path / name).read_text().strip().split(","))
    return found


def test_three_steps_replace_a_secret_and_none_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (old,), both, turned, (new,) = _lists(tmp_path, "internal-secret", monkeypatch)
    assert (both, turned) == ([old, new], [new, old])
    assert old != new
    assert (tmp_path / "internal-secret").stat().st_mode & 0o777 == 0o600
    said = "".join(capsys.readouterr())
    assert old not in said
    assert new not in said


def test_a_pepper_with_keys_is_not_forgotten_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    (tmp_path / "key-pepper").write_text(f"{NEW},{OLD}\n")
    assert main(["secrets", "finish", "key-pepper"]) == 2
    assert "," in (tmp_path / "key-pepper").read_text()


def test_nothing_is_switched_before_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUICE_DATA_DIR", str(tmp_path))
    (tmp_path / "internal-secret").write_text("only-one-of-them-here\n")
    assert main(["secrets", "switch", "internal-secret"]) == 2


async def test_every_neighbouring_pair_of_steps_understands_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service may be a step ahead of the gateway, or behind it."""
    lists = _lists(tmp_path, "internal-secret", monkeypatch)
    for place, ours in enumerate(lists):
        for theirs in lists[max(0, place - 1) : place + 2]:
            assert await _status(signs=ours[0], accepts=",".join(theirs)) == 200, (place, theirs)
    assert await _status(signs=lists[0][0], accepts=",".join(lists[3])) == 401


async def _status(*, signs: str, accepts: str) -> int:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    def refuse(_request: web.Request, status: int, text: str) -> web.Response:
        return web.Response(status=status, text=text)

    settings = load({"SLUICE_INTERNAL_SECRET": accepts})
    lines = Signer(signs).lines("GET", "/a", b"", "0192", time.time_ns() // 1_000_000, "k:1")
    async with TestClient(TestServer(build_app(settings, answer, refuse, 1_000))) as client:
        headers: Mapping[str, str] = dict(x.split(": ", 1) for x in lines.split("\r\n") if x)
        async with client.get("/a", headers=headers) as reply:
            return reply.status


async def test_keys_of_both_peppers_are_found_while_both_are_known(database: str) -> None:
    """And those of the old one no more once it is forgotten."""
    postgres = Postgres(database, command_deadline_ms=5_000)
    book = Book(postgres, load_queries())
    keys = [make_key(os.urandom(RANDOM_BYTES), "sluice_") for _ in range(2)]
    for key_id, (key, setting) in enumerate(zip(keys, (OLD, f"{NEW},{OLD}"), strict=True), 1):
        store = key_store(book, setting, "sluice_")
        await book.mint(key_id, store.hash(key), key[-4:], None, 0, 0)
    found = {
        setting: [await key_store(book, setting, "sluice_").find(key) for key in keys]
        for setting in (f"{OLD},{NEW}", f"{NEW},{OLD}", NEW)
    }
    await postgres.close()
    assert found == {f"{OLD},{NEW}": [1, 2], f"{NEW},{OLD}": [1, 2], NEW: [None, 2]}
