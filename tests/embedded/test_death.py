"""Deaths: of a server, of its supervisor, of a child; nothing is lost and nobody is left."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from gateway.embedded.child import ChildSpec, spawn
from gateway.embedded.faults import FolderInUse
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.supervisor import Process, Supervisor
from gateway.embedded.way import choose_way
from gateway.embedded.wire import PostgresError, postgres_query, redis_ping
from tests.embedded.processes import Seen, callers, ended, family, left_after, start_python

_ENV = {"PATH": os.defpath}


async def _answer_again(server: PostgresServer, sql: str) -> object:
    async with asyncio.timeout(60):
        while True:
            try:
                return await postgres_query(server.socket, "sluice", sql)
            except (OSError, PostgresError):
                await asyncio.sleep(0.01)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - processes have no events
            await asyncio.sleep(0.01)


async def test_killed_postmaster_is_back_with_every_committed_row(folder: Path) -> None:
    said: list[str] = []
    server = PostgresServer(folder)
    supervisor = Supervisor(said.append)
    try:
        await supervisor.add(server)
        await postgres_query(server.socket, "sluice", "CREATE TABLE kept (n int)")
        for n in range(3):
            await postgres_query(server.socket, "sluice", f"INSERT INTO kept VALUES ({n})")
            before = server.pid
            os.kill(before, signal.SIGKILL)
            await _until(lambda: server.pid != before)  # noqa: B023 - called at once
            rows = await _answer_again(server, "SELECT count(*) FROM kept")
            assert rows == [(str(n + 1),)]
    finally:
        await supervisor.stop()
    # The later kills may come before the supervisor has seen that the start succeeded.
    assert said[0] == "postgresql ended (signal 9), starting it again"
    assert all("signal 9" in line or "ended with -9" in line for line in said)


async def test_backend_that_cannot_notice_the_death_does_not_prevent_the_restart(
    folder: Path,
) -> None:
    server = PostgresServer(folder)
    await server.start()
    try:
        postmaster, *others = family(server.pid)
        frozen = next(seen for seen in others if "checkpointer" in seen.command)
        os.kill(frozen.pid, signal.SIGSTOP)
        os.kill(postmaster.pid, signal.SIGKILL)
        assert await server.wait_dead() == -signal.SIGKILL
        await server.start()
        assert await postgres_query(server.socket, "sluice", "SELECT 1") == [("1",)]
        assert not frozen.alive
    finally:
        await server.stop()


async def test_stale_pid_file_naming_a_living_stranger_is_no_obstacle(folder: Path) -> None:
    server = PostgresServer(folder)
    await server.start()
    await server.stop()
    stranger = subprocess.Popen(["sleep", "100"])
    try:
        pid_file = folder / "postgres" / "cluster" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{folder}\n0\n5432\n\n\n0 0\nready\n")
        await server.start()
        await server.stop()
    finally:
        stranger.kill()
        stranger.wait()


async def test_killed_redis_is_back(folder: Path) -> None:
    said: list[str] = []
    server = RedisServer(folder)
    supervisor = Supervisor(said.append)
    try:
        await supervisor.add(server)
        before = server.pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(60):
            while server.pid == before or not await redis_ping(server.socket):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await supervisor.stop()
    assert said == ["redis ended (signal 9), starting it again"]


async def test_frozen_redis_still_ends_at_a_stop(folder: Path) -> None:
    server = RedisServer(folder)
    await server.start()
    os.kill(server.pid, signal.SIGSTOP)
    before = family(server.pid)
    server.kill()
    await server.stop()
    assert not left_after(before, 0)


@pytest.fixture(params=sorted(callers()))
def caller(request: pytest.FixtureRequest) -> Sequence[str]:
    """What a test process is started with: as root, and as an ordinary user."""
    return callers()[request.param]


@pytest.fixture
def owner(folder: Path, caller: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A running program that owns both servers in `folder`."""
    process = start_python("-m", "tests.embedded.owner", str(folder), before=caller)
    with process:
        yield process
        everybody = family(process.pid)
        process.kill()
    assert not left_after(everybody, 20)


def _ready(owner: subprocess.Popen[str]) -> list[str]:
    assert owner.stdout is not None
    words = owner.stdout.readline().split()
    assert words[0] == "ready", words
    return words


def _everybody(owner: subprocess.Popen[str]) -> list[Seen]:
    """The processes of an owner that is ready, once the child's child has asked for its signal."""
    _ready(owner)
    give_up_s = time.monotonic() + 60
    while True:
        found = family(owner.pid)
        if any(seen.command.startswith("sleep 1000") for seen in found):
            break
        assert time.monotonic() < give_up_s, found
        time.sleep(0.01)
    names = " ".join(seen.command for seen in found)
    assert "redis-server" in names
    assert "checkpointer" in names
    return found


def test_killed_supervisor_leaves_nobody_and_the_next_one_starts(
    owner: subprocess.Popen[str], folder: Path, caller: Sequence[str]
) -> None:
    before = _everybody(owner)
    owner.kill()
    # At once, while the servers of the first may still be ending.
    next_one = start_python("-m", "tests.embedded.owner", str(folder), before=caller)
    with ended(next_one) as second:
        _everybody(second)
        assert not left_after(before, 20)
        second.terminate()
        assert second.wait(60) == 0


def test_sigterm_stops_everything_and_leaves_nobody(owner: subprocess.Popen[str]) -> None:
    _ready(owner)
    before = family(owner.pid)
    owner.terminate()
    assert owner.wait(60) == 0
    # Whom the end has killed, the kernel takes away in its own time.
    assert not left_after(before, 20)


def test_second_owner_is_refused_and_the_first_goes_on(
    owner: subprocess.Popen[str], folder: Path, caller: Sequence[str]
) -> None:
    _ready(owner)
    other = start_python("-m", "tests.embedded.owner", str(folder), before=caller)
    with ended(other) as second:
        _, complaint = second.communicate(timeout=60)
    assert second.returncode == 1
    last = complaint.strip().splitlines()[-1]
    assert f"in use by process {owner.pid}: stop it, or set SLUICE_DATA_DIR" in last
    assert owner.poll() is None


async def test_server_started_by_hand_in_our_folder_is_refused_not_harmed(folder: Path) -> None:
    server = PostgresServer(folder)
    await server.start()
    by_hand = server._spec(choose_way(server.folder), os.open(os.devnull, os.O_RDONLY))
    await server.stop()
    stranger = spawn(by_hand)
    os.close(by_hand.keep_fds[0])
    try:
        await _answer_again(server, "SELECT 1")
        with pytest.raises(
            FolderInUse, match=f"served by process {stranger.pid}, which is not ours"
        ):
            await server.start()
        assert stranger.alive
    finally:
        await stranger.stop()


async def test_child_that_ignores_the_stop_signal_is_killed_after_its_grace() -> None:
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    child = spawn(ChildSpec("deaf", ["/bin/sh", "-c", deaf], _ENV, grace_s=0.3))
    # Once it sleeps it is deaf.
    await _until(lambda: any("sleep" in seen.command for seen in family(child.pid)[1:]))
    before = family(child.pid)
    begun_s = time.monotonic()
    assert await child.stop() == -signal.SIGKILL
    assert time.monotonic() - begun_s < 20
    assert not left_after(before, 20)


async def test_death_of_a_child_ends_what_it_left_in_its_group() -> None:
    child = spawn(ChildSpec("parent", ["/bin/sh", "-c", "sleep 1000 & sleep 1000"], _ENV))
    await _until(lambda: len(family(child.pid)) == 3)
    before = family(child.pid)
    os.kill(child.pid, signal.SIGKILL)
    assert await child.wait_dead() == -signal.SIGKILL
    assert not left_after(before, 20)


async def test_child_that_keeps_dying_is_tried_again_with_growing_pauses() -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    begun_s = time.monotonic()
    await supervisor.add(Process(ChildSpec("brief", ["/bin/sh", "-c", "exit 3"], _ENV)))
    await _until(lambda: len(said) >= 5)
    # Between five deaths are pauses of 50, 100, 200 and 400 ms.
    assert time.monotonic() - begun_s >= 0.75
    await supervisor.stop()
    assert set(said) == {"brief ended (exit code 3), starting it again"}
