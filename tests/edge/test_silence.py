"""A connection to a service: who falls silent is given up, and what is said of the service."""

import asyncio

import pytest

from gateway.edge.answer import Answer
from gateway.edge.connection import Connection
from gateway.errors import AnswerBroken, ServiceTimeout


class Pool:
    """Counts what a connection says of its service."""

    name = "x"

    def __init__(self) -> None:
        self.said: list[str] = []

    def release(self, connection: Connection) -> None:
        self.said.append("released")

    def forget(self, connection: Connection) -> None:
        """Nothing to keep."""

    def answered(self) -> None:
        self.said.append("answered")

    def failed(self, subject: str) -> None:
        self.said.append(f"failed {subject}")


class Flow(asyncio.Transport):
    """Takes everything."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Gone."""

    def abort(self) -> None:
        """Gone."""

    def pause_reading(self) -> None:
        """Nothing is read anyhow."""

    def resume_reading(self) -> None:
        """Nothing is read anyhow."""


async def _asked() -> tuple[Pool, Connection, asyncio.Future[Answer], float]:
    pool = Pool()
    connection = Connection(pool)
    connection.connection_made(Flow())
    connection.subject = "k:1"
    head = connection.begin(b"", first_byte_ms=10_000, deadline_ms=600_000)
    return pool, connection, head, asyncio.get_running_loop().time()


async def test_who_falls_silent_in_the_middle_is_given_up_long_before_the_deadline() -> None:
    pool, connection, head, now_s = await _asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nx")
    answer = await head
    for second in range(1, 40, 5):
        connection.data_received(b"" if second > 6 else b"y")
        connection.sweep(now_s + second)
    assert answer.buffered() == b"xyy"
    pool.said.clear()
    connection._spoke = False
    connection.sweep(now_s + 60)
    assert pool.said == ["failed k:1"]
    with pytest.raises(ServiceTimeout):
        await answer.read()


async def test_who_is_held_up_by_his_client_is_not_taken_for_silent() -> None:
    pool, connection, head, now_s = await _asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + b"x" * 400_000)
    answer = await head
    assert answer.is_held_up
    for second in range(1, 500, 50):
        connection.sweep(now_s + second)
    assert pool.said == ["answered"]
    answer.buffered()
    connection.sweep(now_s + 460)
    assert pool.said == ["answered"]


async def test_a_failure_counts_once_and_a_request_given_up_by_us_not_at_all() -> None:
    pool, connection, head, _ = await _asked()
    connection.fail(AnswerBroken("x"))
    connection.connection_lost(None)
    assert pool.said == ["failed k:1"]
    with pytest.raises(AnswerBroken):
        await head
    pool, connection, head, _ = await _asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nx")
    connection.close()
    connection.connection_lost(None)
    assert pool.said == ["answered"]
