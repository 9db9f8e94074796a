"""An engine of the test's own event loop, on the models that the run has built."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.models.engine import Engine, engine
from services.settings import Settings, load


@pytest.fixture
def settings(model_data_dir: Path, models_file: Path) -> Settings:
    return load(
        {
            "SLUICE_INTERNAL_SECRET": "a secret of the tests",
            "SLUICE_DATA_DIR": str(model_data_dir),
            "SLUICE_MODELS_FILE": str(models_file),
        }
    )


@pytest.fixture
async def models(settings: Settings) -> AsyncIterator[Engine]:
    found = engine(settings)
    await found.start()
    yield found
    await found.stop()
