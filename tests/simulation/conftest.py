"""The private Redis of the simulator, and the product in virtual time."""

from collections.abc import Iterator

import pytest

from gateway.embedded.redis_server import RedisServer
from tests.simulation.redis_store import Talk
from tests.simulation.seams import Holder, installed


@pytest.fixture
def talk(redis_server: RedisServer) -> Iterator[Talk]:
    """A socket to the run's Redis; each seed empties it."""
    found = Talk(str(redis_server.socket))
    yield found
    found.close()


@pytest.fixture
def holder() -> Iterator[Holder]:
    """The seams are open while a test runs."""
    with installed() as found:
        yield found
