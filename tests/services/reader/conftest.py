"""A site and readers for the options that concern the fetch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.asking import Asker
from tests.services.processes import free_port, service
from tests.services.reader.canal import Proxy, canal
from tests.services.reader.model import Model
from tests.services.site import Site


@pytest.fixture(scope="session")
def canal_site() -> Iterator[Site]:
    site = canal()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def model() -> Iterator[Model]:
    model = Model()
    model.start()
    yield model
    model.stop()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="session")
def boat(canal_site: Site, proxy: Proxy, model: Model, folder: Path) -> Iterator[Asker]:
    """A reader that may read the site and use the proxy, with a cache and a vision model."""
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_READER_ALLOW": f"{canal_site.origin},http://127.0.0.1:{proxy.port}",
        "SLUICE_READER_WORKERS": "1",
        "SLUICE_READER_CACHE_BYTES": str(1024 * 1024),
        "SLUICE_READER_VISION_URL": model.url,
        "SLUICE_READER_VISION_KEY": "vision key",
        "SLUICE_READER_VISION_MODEL": "see-1",
        "SLUICE_DATA_DIR": str(folder),
    }
    with service("reader", listen, settings):
        yield Asker(f"http://{listen}")
