"""One `sluice up` beside the stand-in for Stripe, and Debian's Chromium to look at it.

Where no Chromium is installed, what needs one is not collected at all, as with the reader's engine;
what can be told from the pages as they are sent runs everywhere.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from services.reader.engines import NAMES
from tests.commands.sluice import Up, up

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None) if find_spec("playwright") else None
collect_ignore = [] if CHROMIUM else ["test_in_chromium.py", "test_looks.py", "visitor.py"]
LINK = re.compile(r"http://[0-9a-z.:]+/sign-in#[0-9a-f]+")
SAMPLE = re.compile(r"/r/(http://[0-9.:]+/)'")


@pytest.fixture(scope="package")
def running() -> Iterator[Up]:
    """The whole system; keys are free for as many tests as there are."""
    made = Path(tempfile.mkdtemp(prefix="sluice-web-"))
    made.chmod(0o755)
    env = {"WORKERS": "1", "KEYS_PER_ADDRESS": "1000"}
    with up(made / "data", words=("tests.stripe_standin.up",), env=env) as system:
        yield system
        system.stop()
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="package")
def sample(running: Up) -> str:
    """The address of a page that the reader can read here."""
    return SAMPLE.findall("\n".join(running.lines))[0]


def printed_link(running: Up) -> str:
    """The newest sign-in link in the log."""
    give_up_s = time.monotonic() + 20
    while time.monotonic() < give_up_s:
        while not running.spoken.empty():
            found = LINK.search(running.spoken.get())
            if found is not None:
                return found[0]
        time.sleep(0.02)
    raise AssertionError("no sign-in link was printed")
