"""Two gateway nodes, each with a disk of its own, on one Redis Cluster and one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.admission.nodes import Nodes, cluster_of_three
from tests.crash.house import House
from tests.crash.stub import open_stub

NODES = 2


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with cluster_of_three() as found:
        yield found


@pytest.fixture
async def houses(tmp_path: Path, database: str, cluster: Nodes) -> AsyncIterator[list[House]]:
    """A house is a node here; both are ready."""
    async with open_stub() as stub:
        url = cluster.every_url
        found = [House(tmp_path / f"node{n}", database, url, stub.url) for n in range(NODES)]
        for number, house in enumerate(found):
            house.settings["SLUICE_NODE"] = f"node{number}"
        await asyncio.gather(*(house.gateway() for house in found))
        yield found
        for house in found:
            await house.close()
