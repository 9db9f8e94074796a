"""One gateway for the whole package, and services that a test starts by naming them.

Keys, addresses and stubs are new for each test, so that limits and balances of one never meet
those of another.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from gateway.commands.ports import any_free
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from tests.conftest import TEMPLATE
from tests.databases import of_database
from tests.edge.door import Door, Key, environment, running
from tests.edge.stub import Stub, listening

DATABASE = "test_edge"
# What differs from the built-in catalogue: deadlines and caps that a test can wait for or exceed.
CATALOGUE = """
[reader]
[search]
[deepsearch]
[embeddings]
[train]
[classify_few_shot]
[classify_zero_shot]

[rerank]
usage = ["json", "trailer"]
first_byte_ms = 1_200
deadline_ms = 2_400
max_request_bytes = 6_000_000

[segment]
max_request_bytes = 20_000
max_answer_bytes = 300_000
"""
UNIX = ("embeddings", "deepsearch", "classifier", "segmenter")
TCP = ("reader", "rerank")
Places = dict[str, Path | int]


async def execute(dsn: str, sql: str) -> None:
    """Run one statement on a server."""
    connection = await asyncpg.connect(dsn, ssl=False)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def free_port(*but: int) -> int:
    """One that no connection takes before anybody listens on it, and none of `but`."""
    return any_free("127.0.0.1", but=but)


@pytest.fixture(scope="package")
def places(servers_folder: Path) -> Places:
    """Where each service of this package's gateways is."""
    sockets: Places = {name: servers_folder / f"{name}.sock" for name in UNIX}
    ports: list[int] = []
    for _ in TCP:
        ports.append(free_port(*ports))
    return {**sockets, **dict(zip(TCP, ports, strict=True))}


@pytest.fixture(scope="package")
def catalogue(servers_folder: Path) -> Path:
    """The catalogue file of this package's gateways."""
    path = servers_folder / "edge.toml"
    path.write_text(CATALOGUE, encoding="utf-8")
    return path


@pytest.fixture(scope="package")
def environ(
    pg_server: PostgresServer,
    redis_server: RedisServer,
    servers_folder: Path,
    places: Places,
    catalogue: Path,
) -> Iterator[dict[str, str]]:
    """The settings of this package's gateways, with a database of their own."""
    asyncio.run(execute(pg_server.dsn, f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}"))
    yield environment(
        of_database(pg_server.dsn, DATABASE),
        redis_server.url,
        servers_folder / "edge",
        places,
        SLUICE_PRODUCTS=str(catalogue),
        SLUICE_BODY_DEADLINE_MS="1500",
        SLUICE_SHIP_INTERVAL_MS="5",
    )
    asyncio.run(execute(pg_server.dsn, f"DROP DATABASE {DATABASE} WITH (FORCE)"))


@pytest.fixture(scope="package")
def door(environ: dict[str, str]) -> Iterator[Door]:
    """A gateway that runs while this package's tests do."""
    with running(environ) as started:
        yield started


@pytest.fixture(autouse=True)
async def forgiven(door: Door) -> None:
    """Services fail in one test after the other, each with another key: as if in one fault."""
    await door.run(door.forgive())


@pytest.fixture
async def key(door: Door) -> Key:
    """A key with ten million trial tokens."""
    return await door.key()


@asynccontextmanager
async def _service(places: Places, name: str) -> AsyncIterator[Stub]:
    stub = Stub()
    async with listening(stub, places[name]):
        yield stub


@pytest.fixture
async def embeddings(places: Places) -> AsyncIterator[Stub]:
    """The service behind /v1/embeddings, on a unix socket."""
    async with _service(places, "embeddings") as stub:
        yield stub


@pytest.fixture
async def rerank(places: Places) -> AsyncIterator[Stub]:
    """The service behind /v1/rerank, on a port; its deadlines are 400 and 900 ms."""
    async with _service(places, "rerank") as stub:
        yield stub


@pytest.fixture
async def reader(places: Places) -> AsyncIterator[Stub]:
    """The service behind r., on a port."""
    async with _service(places, "reader") as stub:
        yield stub


@pytest.fixture
async def deepsearch(places: Places) -> AsyncIterator[Stub]:
    """The service behind deepsearch., on a unix socket."""
    async with _service(places, "deepsearch") as stub:
        yield stub


@pytest.fixture
async def classifier(places: Places) -> AsyncIterator[Stub]:
    """The service behind /v1/classify and /v1/train, on a unix socket."""
    async with _service(places, "classifier") as stub:
        yield stub


@pytest.fixture
async def segmenter(places: Places) -> AsyncIterator[Stub]:
    """The service behind /v1/segment, on a unix socket; bodies up to 20 kB, answers to 300 kB."""
    async with _service(places, "segmenter") as stub:
        yield stub
