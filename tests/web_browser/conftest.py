"""One `sluice up` beside the stand-in for Stripe, and Debian's Chromium to look at it.

Where no Chromium is installed, what needs one is not collected at all, as with the reader's engine;
what can be told from the pages as they are sent runs everywhere.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest

from gateway.embedded.postgres_server import PostgresServer
from ops.pictures_seed import CANARY
from services.reader.engines import NAMES
from tests.commands.sluice import Up, up

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None) if find_spec("playwright") else None
collect_ignore = [] if CHROMIUM else ["test_in_chromium.py"]
LINK = re.compile(r"http://[0-9a-z.:]+/sign-in#[0-9a-f]+")
SAMPLE = re.compile(r"/r/(http://[0-9.:]+/)'")


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    """The whole system; keys are free for as many tests as there are."""
    made = Path(tempfile.mkdtemp(prefix="sluice-web-"))
    made.chmod(0o755)
    env = {"WORKERS": "1", "KEYS_PER_ADDRESS": "1000"}
    with up(made / "data", words=("tests.stripe_standin.up",), env=env) as system:
        asyncio.run(_fill_history(made / "data"))
        yield system
        system.stop()
    shutil.rmtree(made, ignore_errors=True)


async def _fill_history(folder: Path) -> None:
    """90 days of the canary: the status page is as heavy as it gets."""
    line = await asyncpg.connect(PostgresServer(folder).dsn, ssl=False)
    await line.execute(CANARY)
    await line.close()


@pytest.fixture(scope="module")
def sample(running: Up) -> str:
    """The address of a page that the reader can read here."""
    return str(SAMPLE.findall("\n".join(running.lines))[0])


def printed_link(running: Up) -> str:
    """The newest sign-in link in the log."""
    give_up_s = time.monotonic() + 60
    while time.monotonic() < give_up_s:
        while not running.spoken.empty():
            found = LINK.search(running.spoken.get())
            if found is not None:
                return found[0]
        time.sleep(0.02)
    raise AssertionError("no sign-in link was printed")
