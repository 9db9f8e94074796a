"""`make up STRIPE=stand-in`: everything beside a stand-in, as one command; buys as printed."""

import json
import shutil
import signal
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.sluice import Up, up
from tests.embedded.processes import ROOT


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder with a short path, removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="sluice-up-"))
    made.chmod(0o755)
    yield made / "data"
    shutil.rmtree(made)


def _asked(url: str, key: str, document: object | None = None) -> Any:
    body = None if document is None else json.dumps(document).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as reply:
        return json.loads(reply.read())


def _word(running: Up, start: str) -> str:
    line = next(line.strip() for line in running.lines if line.strip().startswith(start))
    return line.removeprefix(start).split()[0]


def test_a_pack_is_bought_from_what_is_printed_and_nothing_is_left_behind(folder: Path) -> None:
    with up(folder, words=("tests.stripe_standin.up",), env={"WORKERS": "1"}) as running:
        key, control = _word(running, "trial key"), _word(running, "control page")
        url = _asked(
            f"{running.door}/v1/billing/checkout", key, {"pack": "small", "currency": "usd"}
        )["url"]
        assert url.startswith(control.removesuffix("_control"))
        # The shop's own address answers what it likes: only the payment counts here.
        form = urllib.request.Request(url, b"email=ada@example.com")
        with urllib.request.build_opener(_NoRedirect).open(form, timeout=30) as reply:
            assert reply.status == 303
        give_up_s = time.monotonic() + 60
        while _asked(f"{running.door}/v1/keys/me", key)["tier"] != "premium":
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
        with urllib.request.urlopen(control, timeout=30) as reply:
            assert "checkout.session.completed" in reply.read().decode()
        assert running.stop(signal.SIGINT) == 0
    assert (folder / "stripe-standin.json").exists()


def test_make_knows_the_stand_in_and_has_none_unless_asked() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "UP.stand-in = .venv/bin/python -m tests.stripe_standin.up" in makefile
    assert "STRIPE = real" in makefile
    named = [
        file
        for folder in ("gateway", "services", "sql")
        for file in (ROOT / folder).rglob("*.*")
        if file.suffix != ".pyc" and "stripe_standin" in file.read_text()
    ]
    assert named == []


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers the redirect itself."""

    def http_error_303(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp
