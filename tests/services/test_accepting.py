"""The door of every service: how it opens, and how it takes a crowd."""

import asyncio
import socket
from itertools import pairwise
from pathlib import Path

from services.accepting import Door, Listen, Pace

CROWD = 40


class Counting(asyncio.Protocol):
    """Counts connections of all of its kind."""

    def __init__(self, made: list[int]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._made.append(1)


class Noting(asyncio.Protocol):
    """Notes what it was given."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.given.append(data)


async def test_socket_file_is_there_only_once_connections_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    path.write_text("left by something else")
    door = Door(lambda: Counting([]))
    await door.open(Listen(str(path)))
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.sock"]
    finally:
        await door.close()


async def test_crowd_of_connections_is_taken_few_per_turn_of_the_loop(tmp_path: Path) -> None:
    made: list[int] = []
    door = Door(lambda: Counting(made))
    await door.open(Listen(str(tmp_path / "a.sock")))
    clients = [socket.socket(socket.AF_UNIX) for _ in range(CROWD)]
    try:
        for client in clients:
            client.connect(str(tmp_path / "a.sock"))
        most = 0
        while len(made) < CROWD:
            before = len(made)
            await asyncio.sleep(0)
            most = max(most, len(made) - before)
        assert most == 1
    finally:
        for client in clients:
            client.close()
        await door.close()


async def test_data_of_a_crowd_is_given_one_piece_per_turn_and_in_order() -> None:
    pace = Pace()
    protocols = [Noting() for _ in range(5)]
    for turn in (b"1", b"2"):
        for protocol in protocols:
            pace.give(protocol, turn)
    given = [0]
    while sum(len(protocol.given) for protocol in protocols) < 10:
        given.append(sum(len(protocol.given) for protocol in protocols))
        await asyncio.sleep(0)
    assert max(b - a for a, b in pairwise(given)) == 1
    assert all(protocol.given == [b"1", b"2"] for protocol in protocols)


async def test_closed_door_takes_no_connection(tmp_path: Path) -> None:
    made: list[int] = []
    door = Door(lambda: Counting(made))
    await door.open(Listen(None, "127.0.0.1", 0))
    host, _, port = door.addresses[0].rpartition(":")
    await door.close()
    with socket.socket() as client:
        assert client.connect_ex((host, int(port))) != 0
    assert not made
