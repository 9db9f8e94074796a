"""Deepsearch in this process, on real reader, search and models, and on a stand-in for a model."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from services import serving
from services.deepsearch.app import build
from services.settings import load
from tests.services.asking import SECRET, Asker
from tests.services.deepsearch import standin as standins
from tests.services.deepsearch import wiki as wikis
from tests.services.deepsearch.desk import Desk, signed_as
from tests.services.deepsearch.standin import Standin
from tests.services.processes import free_port, service
from tests.services.site import Site

Opener = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture(scope="session")
def wiki() -> Iterator[Site]:
    site = wikis.site()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def neighbours(
    wiki: Site, api: Asker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    """The settings that name a reader, a search that knows the wiki, and the models."""
    folder: Path = tmp_path_factory.mktemp("deepsearch")
    port = free_port()
    reader, search = f"127.0.0.1:{port}", f"127.0.0.1:{free_port(port)}"
    reading = {"SLUICE_READER_ALLOW": wiki.origin, "SLUICE_READER_WORKERS": "1"}
    searching = {
        "SLUICE_DATA_DIR": str(folder),
        "SLUICE_SERVICE_READER_URL": f"http://{reader}",
    }
    with service("reader", reader, reading), service("search", search, searching):
        documents = {"documents": wikis.documents(wiki.origin)}
        asyncio.run(_indexed(Asker(f"http://{search}"), documents))
        yield {
            "SLUICE_SERVICE_READER_URL": f"http://{reader}",
            "SLUICE_SERVICE_SEARCH_URL": f"http://{search}",
            "SLUICE_SERVICE_EMBEDDINGS_URL": api.base,
            "SLUICE_SERVICE_RERANK_URL": api.base,
        }


async def _indexed(search: Asker, documents: object) -> None:
    """The wiki and nothing else: the project's own texts would be read along with it."""
    starter = {"prefixes": ["https://docs.localhost"]}
    for path, document in (("/remove", starter), ("/documents", documents)):
        body = orjson.dumps(document)
        answer = await search.raw("POST", path, signed_as("o:index", "POST", path, body), body)
        assert answer.status == 200, answer.text


@pytest.fixture
def opened(neighbours: Mapping[str, str]) -> Opener:
    """Opens a deepsearch with these settings besides those of its neighbours."""

    @asynccontextmanager
    async def opening(**settings: str) -> AsyncIterator[Desk]:
        given = {f"SLUICE_{name}": value for name, value in settings.items()}
        app = build(load({"SLUICE_INTERNAL_SECRET": SECRET, **neighbours, **given}))
        runner = serving.runner_of(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0]
        yield Desk(f"http://{host}:{port}")
        await runner.cleanup()

    return opening


@pytest.fixture
async def model() -> AsyncIterator[Standin]:
    async with standins.listening() as standin:
        yield standin


@pytest.fixture
async def desk(opened: Opener, model: Standin) -> AsyncIterator[Desk]:
    """Deepsearch whose mind is the stand-in."""
    async with opened(LLM_BASE_URL=model.url, LLM_API_KEY="key-of-ours", LLM_MODEL="m") as desk:
        yield desk


@pytest.fixture
async def plain(opened: Opener) -> AsyncIterator[Desk]:
    """Deepsearch without a model."""
    async with opened() as desk:
        yield desk
