"""One site, one canary and one process of each service for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.models import builtin
from tests.services import tiny_clip
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


@pytest.fixture(scope="session")
def model_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in which the built-in model has been built."""
    folder = tmp_path_factory.mktemp("data")
    builtin.ensure(folder)
    return folder


@pytest.fixture(scope="session")
def models_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a tiny model that also takes pictures, as `tiny-clip`."""
    folder = tmp_path_factory.mktemp("models")
    tiny_clip.make(folder / "tiny-clip")
    file = folder / "models.toml"
    file.write_text(
        f'[models.tiny-clip]\nkind = "onnx"\nfolder = "{folder / "tiny-clip"}"\n'
        '[models.broken]\nkind = "onnx"\nfolder = "nowhere"\n'
    )
    return file


@pytest.fixture(scope="session")
def api(site: Site, model_data_dir: Path, models_file: Path) -> Iterator[Asker]:
    """Embeddings, rerank and models in one process; without a database, so without classifiers."""
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_DATA_DIR": str(model_data_dir),
        "SLUICE_MODELS_FILE": str(models_file),
        "SLUICE_READER_ALLOW": site.origin,
        "SLUICE_IMAGE_BYTES": str(256 * 1024),
        "SLUICE_IMAGE_PIXELS": "1000000",
    }
    with service("api", listen, settings):
        yield Asker(f"http://{listen}")
