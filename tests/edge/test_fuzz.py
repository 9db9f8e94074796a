"""Good requests, spoilt and cut up by chance: the service gets what a strict reader reads.

`python -m ops.bench.fuzz` goes on for as long as one likes.
"""

import asyncio
from pathlib import Path

from ops.bench.fuzz import Service, one, strict
from tests.edge.conftest import Places
from tests.edge.door import Door

SEEDS = 40
POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"


def test_the_strict_reader_reads_what_is_beyond_doubt_and_stops_there() -> None:
    good = POST + b"content-length: 2\r\n\r\n{}"
    chunks = POST + b"transfer-encoding: chunked\r\n\r\n1;a=b\r\n{\r\n1\r\n}\r\n0\r\nx: y\r\n\r\n"
    assert list(strict(good + chunks + good)) == [b"{}"] * 3
    for odd in (b"content-length: +2\r\n\r\n{}", b"a: b\nc: d\r\n\r\n", b"a : b\r\n\r\n"):
        assert list(strict(good + POST + odd + good)) == [b"{}"]
    assert list(strict(good + good[:-1])) == [b"{}"]


async def test_nothing_reaches_a_service_that_a_strict_reader_does_not_read(
    door: Door, places: Places
) -> None:
    limits = {"rpm": 10**6, "tpm": 10**9, "concurrency": 1_000}
    key, service, where = await door.key(embeddings=limits), Service(), places["embeddings"]
    assert isinstance(where, Path)
    server = await asyncio.start_unix_server(service.serve, where)
    try:
        found = {seed: await one(door.port, seed, key.text, service) for seed in range(SEEDS)}
    finally:
        server.close()
        where.unlink(missing_ok=True)
        await door.run(_hang_up(door))
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}


async def _hang_up(door: Door) -> None:
    """Its connections to the service end, so that nobody reads there any more."""
    pool = door.node.pipeline._parts.forwarder._upstreams.get("embeddings")
    assert pool is not None
    pool.close()
