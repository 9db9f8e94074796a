"""One site, one canary and one process of each service for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.services.asking import Asker
from tests.services.canary import Canary
from tests.services.processes import free_port, service
from tests.services.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    site = Site()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def canary() -> Iterator[Canary]:
    canary = Canary()
    yield canary
    canary.close()


@pytest.fixture(scope="session")
def reader(site: Site) -> Iterator[Asker]:
    """A reader that may read the site, and nothing else on this machine."""
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_READER_ALLOW": site.origin,
        "SLUICE_READER_WORKERS": "2",
        "SLUICE_READER_EXTRACT_MS": "4000",
        "SLUICE_READER_PAGE_BYTES": str(8 * 1024 * 1024),
    }
    with service("reader", listen, settings):
        yield Asker(f"http://{listen}")


@pytest.fixture(scope="session")
def segmenter() -> Iterator[Asker]:
    listen = f"127.0.0.1:{free_port()}"
    with service("segmenter", listen, {}):
        yield Asker(f"http://{listen}")
