"""A folder for servers: short, reachable for other users, and removed."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder of a test's own; its path is short because sockets live in it."""
    made = Path(tempfile.mkdtemp(prefix="sluice-emb-"))
    made.chmod(0o755)
    yield made / "data"
    shutil.rmtree(made)
