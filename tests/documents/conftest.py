"""One running gateway for all modules of this folder."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents.running import Running, running


@pytest.fixture(scope="session")
def gateway() -> Iterator[Running]:
    """Everything that `sluice up` starts, and a stand-in for Stripe."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-documents-"))
    with running(folder / "data") as started:
        yield started
    shutil.rmtree(folder)
