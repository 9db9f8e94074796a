"""A stand-in for all providers, and search services over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.asking import Asker
from tests.services.processes import free_port, service
from tests.services.search.standins import Standin


@pytest.fixture(scope="session")
def standin() -> Iterator[Standin]:
    standin = Standin()
    standin.start()
    yield standin
    standin.stop()


@pytest.fixture(scope="session")
def local(reader: Asker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    """A search without any setting: the embedded index, over a unix socket."""
    folder = tmp_path_factory.mktemp("local")
    socket = str(folder / "s.sock")
    settings = {"SLUICE_DATA_DIR": str(folder), "SLUICE_SERVICE_READER_URL": reader.base}
    with service("search", f"unix:{socket}", settings):
        yield Asker("http://search", socket)


@pytest.fixture(scope="session")
def web(
    reader: Asker, standin: Standin, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Asker]:
    """A search that asks every provider, and reads what they find through the reader."""
    folder: Path = tmp_path_factory.mktemp("web")
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_DATA_DIR": str(folder),
        "SLUICE_SERVICE_READER_URL": reader.base,
        "SLUICE_READER_ALLOW": standin.base,  # for icons only: pages are the reader's business
        "SLUICE_SEARCH_URL": f"{standin.base}/searxng",
        "SLUICE_SEARCH_BRAVE_KEY": "brave-key",
        "SLUICE_SEARCH_BRAVE_URL": standin.base,
        "SLUICE_SEARCH_SERPER_KEY": "serper-key",
        "SLUICE_SEARCH_SERPER_URL": standin.base,
        "SLUICE_SEARCH_ARXIV_URL": f"{standin.base}/arxiv",
        "SLUICE_SEARCH_PROVIDERS": "searxng,serper",
        "SLUICE_SEARCH_PROVIDER_MS": "2000",
    }
    with service("search", listen, settings):
        yield Asker(f"http://{listen}")
