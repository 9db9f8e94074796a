"""The fault proxy itself: each way to break a connection breaks it so, and it heals at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults.far_end import Server, Streams
from tests.faults.proxy import Cut, Door, Proxy, Trip, Way

PATIENCE_S = 30.0


@asynccontextmanager
async def _served() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server.welcome, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with _served() as found:
        yield found


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    async with Proxy(("127.0.0.1", server.port)) as found:
        yield found


async def _pair(proxy: Proxy, server: Server) -> tuple[Streams, Streams]:
    client = await server.dial(proxy)
    return client, await asyncio.wait_for(server.came.get(), PATIENCE_S)


async def _read(streams: Streams, size: int) -> bytes:
    return await asyncio.wait_for(streams[0].readexactly(size), PATIENCE_S)


async def _end(streams: Streams) -> bytes:
    return await asyncio.wait_for(streams[0].read(-1), PATIENCE_S)


async def _silent(streams: Streams) -> bool:
    """Whether nothing comes although the loop has turned."""
    task = asyncio.ensure_future(streams[0].read(1))
    done, _ = await asyncio.wait((task,), timeout=0.05)
    if not done:
        task.cancel()
        await asyncio.wait((task,))
    return not done


async def test_bytes_pass_both_ways_and_are_counted(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    client[1].write(b"question")
    assert await _read(at, 8) == b"question"
    at[1].write(b"answer")
    assert await _read(client, 6) == b"answer"
    assert proxy.state.passed_bytes == {Way.UP: 8, Way.DOWN: 6}
    assert (proxy.connections, len(proxy.lines)) == (1, 1)


async def test_the_end_of_one_way_leaves_the_other_open(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    client[1].write(b"all")
    client[1].write_eof()
    assert await _end(at) == b"all"
    at[1].write(b"still here")
    assert await _read(client, 10) == b"still here"
    at[1].close()
    assert await _end(client) == b""


async def test_what_is_delayed_comes_late_and_in_order(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    loop = asyncio.get_running_loop()
    proxy.delay(0.05, 0.05)
    begun_s = loop.time()
    for number in range(20):
        client[1].write(b"%02d" % number)
        await asyncio.sleep(0)
    assert await _read(at, 40) == b"".join(b"%02d" % number for number in range(20))
    assert loop.time() - begun_s >= 0.05


async def test_a_delay_that_is_healed_holds_nothing_back(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    proxy.delay(3_600)
    client[1].write(b"late")
    assert await _silent(at)
    proxy.heal()
    assert await _read(at, 4) == b"late"


async def test_a_reset_reaches_both_sides(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    proxy.reset()
    for streams in (client, at):
        with pytest.raises(ConnectionResetError):
            await _end(streams)
    assert proxy.lines == []


async def test_a_door_that_resets_takes_nobody_until_it_is_healed(
    proxy: Proxy, server: Server
) -> None:
    proxy.door = Door.RESET
    refused = await server.dial(proxy)
    with pytest.raises(ConnectionResetError):
        await _end(refused)
    proxy.heal()
    await _pair(proxy, server)
    assert (proxy.connections, proxy.turned_away) == (2, 1)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("way", list(Way))
async def test_it_cuts_after_so_many_bytes(
    proxy: Proxy, server: Server, way: Way, reset: bool
) -> None:
    client, at = await _pair(proxy, server)
    sends, reads = (client, at) if way is Way.UP else (at, client)
    sends[1].write(b"0123")
    assert await _read(reads, 4) == b"0123"
    proxy.state.rules[way].cut = Cut(3, reset=reset)
    sends[1].write(b"45")
    sends[1].write(b"6789")
    if reset:
        for streams in (reads, sends):
            with pytest.raises(ConnectionResetError):
                await _end(streams)
    else:
        assert await _end(reads) == b"456"
    assert (proxy.state.cuts, proxy.state.passed_bytes[way]) == (1, 7)


async def test_a_black_hole_takes_and_answers_nothing_and_is_gone_when_healed(
    proxy: Proxy, server: Server
) -> None:
    old, at = await _pair(proxy, server)
    proxy.swallow()
    new = await server.dial(proxy)
    for client in (old, new):
        client[1].write(b"lost")
        assert await _silent(client)
    assert await _silent(at)
    assert proxy.state.swallowed_bytes == 8
    proxy.heal()
    for client in (old, new):
        with pytest.raises(ConnectionResetError):
            await _end(client)
    again, there = await _pair(proxy, server)
    again[1].write(b"heard")
    assert await _read(there, 5) == b"heard"


async def test_what_was_stopped_goes_on_with_nothing_lost(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    for _ in range(3):
        proxy.stop()
        client[1].write(b"up")
        at[1].write(b"down")
        assert await _silent(at)
        assert await _silent(client)
        proxy.heal()
        assert await _read(at, 2) == b"up"
        assert await _read(client, 4) == b"down"


async def test_of_a_half_open_connection_the_client_is_told_nothing(
    proxy: Proxy, server: Server
) -> None:
    client, at = await _pair(proxy, server)
    proxy.lose_servers()
    assert await _end(at) == b""
    client[1].write(b"into the void")
    assert await _silent(client)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await _end(client)


async def test_a_trip_springs_at_the_nth_sighting_however_the_bytes_are_cut(
    proxy: Proxy, server: Server
) -> None:
    """It holds from there on, on that line; others pass."""
    client, at = await _pair(proxy, server)
    other, other_at = await _pair(proxy, server)
    trip = proxy.trip(Trip(Way.UP, b"mark", nth=3, hold=True))
    client[1].write(b"a mark ma")
    await _read(at, 9)
    client[1].write(b"rk b")
    await _read(at, 4)
    assert (trip.hits, trip.sprung.is_set()) == (2, False)
    client[1].write(b"c mark d")
    await asyncio.wait_for(trip.sprung.wait(), PATIENCE_S)
    assert await _read(at, 2) == b"c "
    client[1].write(b"e")
    assert await _silent(at)
    other[1].write(b"mark")
    assert await _read(other_at, 4) == b"mark"
    trip.release()
    assert await _read(at, 7) == b"mark de"
    assert trip.hits == 3


async def test_a_trip_acts_before_its_bytes_pass(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    trip = proxy.trip(Trip(Way.DOWN, b"no", then=lambda line: line.close(reset=True)))
    at[1].write(b"yes no")
    for streams in (client, at):
        with pytest.raises(ConnectionResetError):
            await _end(streams)
    assert (trip.hits, proxy.state.passed_bytes[Way.DOWN]) == (1, 4)


async def test_what_springs_a_trip_is_under_the_rules_that_it_leaves_behind(
    proxy: Proxy, server: Server
) -> None:
    client, at = await _pair(proxy, server)
    proxy.trip(Trip(Way.UP, b"mark", then=lambda _: proxy.swallow()))
    client[1].write(b"a mark b")
    assert await _read(at, 2) == b"a "
    assert await _silent(at)
    assert proxy.state.swallowed_bytes == 6


async def test_who_does_not_read_holds_up_who_writes(proxy: Proxy, server: Server) -> None:
    """The proxy takes a bounded amount, and loses nothing of it."""
    client, at = await _pair(proxy, server)
    proxy.stop()
    size = 64 * 1024 * 1024
    client[1].write(b"x" * size)
    drained = asyncio.ensure_future(client[1].drain())
    await asyncio.wait((drained,), timeout=0.2)
    assert not drained.done()
    proxy.heal()
    assert len(await _read(at, size)) == size
    await drained


async def test_bytes_can_be_changed(proxy: Proxy, server: Server) -> None:
    client, at = await _pair(proxy, server)
    proxy.down.change = lambda data: data.replace(b"200", b"2OO")
    at[1].write(b"HTTP/1.1 200 OK")
    assert await _read(client, 15) == b"HTTP/1.1 2OO OK"


async def test_a_server_on_a_unix_socket_that_is_away_is_a_reset(tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = Server()
    async with Proxy(path) as proxy:
        client = await server.dial(proxy)
        with pytest.raises(ConnectionResetError):
            await _end(client)
        listener = await asyncio.start_unix_server(server.welcome, path)
        client, at = await _pair(proxy, server)
        client[1].write(b"here")
        assert await _read(at, 4) == b"here"
        listener.close()
        await server.close()


async def test_at_its_end_every_connection_is_closed(server: Server) -> None:
    async with Proxy(("127.0.0.1", server.port)) as proxy:
        client, at = await _pair(proxy, server)
    for streams in (client, at):
        with pytest.raises(ConnectionResetError):
            await _end(streams)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", proxy.port)
