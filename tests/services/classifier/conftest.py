"""A classifier on a fresh database, with a stand-in for the engine, behind real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from services import serving
from services.classifier.app import Classifier
from services.classifier.cores import one_core
from services.classifier.embedding import Embedder, EngineEmbedder
from services.classifier.store import ROLE, Store
from services.models import door
from services.models.engine import engine as engine_of
from services.models.fetching import PictureFetcher
from services.postgres import Postgres, load_queries
from services.settings import load
from tests.services.asking import SECRET
from tests.services.classifier.desk import Desk
from tests.services.classifier.standin import StandIn


@pytest.fixture(scope="session", autouse=True)
def _one_core() -> None:
    assert one_core() == 1


@asynccontextmanager
async def opened(dsn: str | None, engine: Embedder) -> AsyncIterator[Desk]:
    """A classifier that listens, until the end of the block."""
    postgres = None
    if dsn is not None:
        postgres = Postgres(dsn, role=ROLE, application_name="classifier-test", deadline_ms=1_500)
    classifier = Classifier(engine, Store(postgres, load_queries("classifiers")))
    settings = load({"SLUICE_INTERNAL_SECRET": SECRET})
    app = serving.build_app(settings, classifier.handle, door.envelope, settings.model_body_bytes)
    app.cleanup_ctx.append(classifier.run)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    yield Desk(f"http://{host}:{port}")
    await runner.cleanup()


@pytest.fixture
def engine() -> StandIn:
    return StandIn()


@pytest.fixture
async def desk(database: str, engine: StandIn) -> AsyncIterator[Desk]:
    async with opened(database, engine) as desk:
        yield desk


@pytest.fixture
async def real(model_data_dir: Path, models_file: Path) -> AsyncIterator[EngineEmbedder]:
    """The engine with the model that needs no download."""
    settings = load(
        {
            "SLUICE_INTERNAL_SECRET": SECRET,
            "SLUICE_DATA_DIR": str(model_data_dir),
            "SLUICE_MODELS_FILE": str(models_file),
        }
    )
    engine, pictures = engine_of(settings), PictureFetcher(settings)
    await engine.start()
    yield EngineEmbedder(engine, pictures)
    pictures.close()
    await engine.stop()
