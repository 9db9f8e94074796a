"""A restart under load: every request has its whole answer, and is charged once."""

import asyncio
import json
import signal
from pathlib import Path

from gateway import app
from gateway.commands.small_http import ask
from gateway.products.builtin import version_of
from tests.crash.client import Client, Seen
from tests.crash.house import GRANT, House, Key, until
from tests.crash.stub import Stub

CLIENTS = 8
ADMIN = "the-admin-token-of-the-crash-tests"


async def _wide(house: House) -> Key:
    key = await house.mint()
    limits = {"embeddings": {"rpm": 10**6, "tpm": 10**9, "concurrency": 1_000}}
    await house.book.set_limits(key.key_id, limits)
    return key


async def _load(house: House, key: Key, over: asyncio.Event, *, fresh: bool) -> list[Seen]:
    seen = []
    async with Client(house.port) as client:
        while not over.is_set():
            seen.append(await client.ask(key.text, tokens=3))
            if fresh:
                client.hang_up()
            await asyncio.sleep(0.01)
    return seen


async def _instances(house: House) -> tuple[int, int]:
    """How many gateway processes there have been, and how many have said goodbye."""
    sql = (
        "select count(*) as all, count(*) filter (where stopped and drained) as gone from instance"
    )
    row = (await house.postgres.rows(sql))[0]
    return row["all"], row["gone"]


async def _settled(house: House, key: Key, seen: list[Seen]) -> None:
    assert {each.status for each in seen} == {200}
    assert await house.trial(key) == GRANT - sum(each.tokens or 0 for each in seen)
    assert await house.leftovers() == []
    assert await house.proof() == {}


async def test_sighup_replaces_every_gateway_and_no_client_notices(
    house: House, stub: Stub
) -> None:
    """A request that is with its service all the while is answered by the process that has it."""
    house.settings["SLUICE_WORKERS"] = "2"
    parent = house.start("serve")
    await house.ready(parent, house.port)
    key, over = await _wide(house), asyncio.Event()
    loads = [asyncio.create_task(_load(house, key, over, fresh=n % 2 == 0)) for n in range(CLIENTS)]
    async with Client(house.port) as waits:
        await waits.send(key.text, {"tokens": 7, "wait": True})
        waiting = await stub.arrivals.get()
        parent.send_signal(signal.SIGHUP)
        await until(lambda: _gone(house, 1), 60)
        waiting.answer.set()
        last = await waits.receive()
    await until(lambda: _gone(house, 2), 60)
    over.set()
    seen = [last] + [each for load in await asyncio.gather(*loads) for each in load]
    parent.terminate()
    assert await asyncio.to_thread(parent.wait, 60) == 0, house.logs()
    assert await _instances(house) == (4, 4), house.logs()
    await _settled(house, key, seen)
    assert house.spools == []


async def test_one_that_leaves_a_shared_port_takes_no_client_along(house: House) -> None:
    """Two of them listen; what waits in the queue of the one that closes is answered as well."""
    first = await house.gateway()
    second = house.start("serve", "--child", "1")
    await until(lambda: _running(house, 2))
    key, over = await _wide(house), asyncio.Event()
    loads = [asyncio.create_task(_load(house, key, over, fresh=True)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.5)
    first.terminate()
    assert await asyncio.to_thread(first.wait, 60) == 0, house.logs()
    over.set()
    seen = [each for load in await asyncio.gather(*loads) for each in load]
    second.terminate()
    assert await asyncio.to_thread(second.wait, 60) == 0
    await _settled(house, key, seen)


async def test_what_does_not_come_up_replaces_nobody(house: House) -> None:
    """Wrong settings at a restart are told, and the old process goes on."""
    file = house.folder / "settings.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("drain_ms = 2000\n")
    house.settings["SLUICE_CONFIG"] = str(file)
    parent = house.start("serve")
    await house.ready(parent, house.port)
    file.write_text("drain_ms = 'soon'\n")
    parent.send_signal(signal.SIGHUP)
    await until(lambda: _told(house, "not restarted"))
    async with Client(house.port) as client:
        assert (await client.ask(None, tokens=1)).status == 401
    file.write_text("drain_ms = 3000\n")
    parent.send_signal(signal.SIGHUP)
    await until(lambda: _gone(house, 1))


async def test_after_sighup_the_operations_process_follows_the_file_of_the_new_gateways(
    house: House,
) -> None:
    """Also where the new file differs in what only a restart may change."""
    settings, first, second = (house.folder / f"{n}.toml" for n in ("settings", "a", "b"))
    house.folder.mkdir(parents=True, exist_ok=True)
    first.write_text("[embeddings]\n")
    second.write_text("[embeddings]\n[rerank]\n")
    settings.write_text(f"products = '{first}'\nadmin_token = '{ADMIN}'\n")
    house.settings["SLUICE_CONFIG"] = str(settings)
    parent = house.start("serve")
    await house.ready(parent, house.port)
    await until(lambda: _catalogue_is(house, first, version_of(first.read_text())))
    settings.write_text(f"products = '{second}'\nadmin_token = '{ADMIN}'\n")
    parent.send_signal(signal.SIGHUP)
    await until(lambda: _catalogue_is(house, second, version_of(second.read_text())), 60)
    # And follows it on.
    second.write_text("[embeddings]\nkey = { rpm = 7 }\n[rerank]\n")
    await until(lambda: _catalogue_is(house, second, version_of(second.read_text())))


async def _catalogue_is(house: House, file: Path, version: str) -> bool:
    """Whether every process has this version, and no trouble with it."""
    bearer = {"Authorization": f"Bearer {ADMIN}"}
    reply = await ask("127.0.0.1", house.ops_port, "GET", "/admin/catalogue", headers=bearer)
    found = json.loads(reply.body)
    told = (found["file"], found["version"], found["refused"], found["everywhere"])
    return told == (str(file), version, [], True)


async def test_a_socket_of_the_service_manager_outlives_even_the_parent(house: House) -> None:
    """As systemd hands it over: clients wait in it while nobody accepts, and nobody is refused."""
    listening = app.listening_socket("127.0.0.1", house.port)
    listening.listen(128)
    first = house.start_with(listening, "serve")
    await house.ready(first, house.port)
    key, over = await _wide(house), asyncio.Event()
    loads = [asyncio.create_task(_load(house, key, over, fresh=True)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.3)
    first.terminate()
    assert await asyncio.to_thread(first.wait, 60) == 0, house.logs()
    second = house.start_with(listening, "serve")
    await until(lambda: _running(house, 2))
    await asyncio.sleep(0.5)
    over.set()
    seen = [each for load in await asyncio.gather(*loads) for each in load]
    second.terminate()
    assert await asyncio.to_thread(second.wait, 60) == 0, house.logs()
    listening.close()
    await _settled(house, key, seen)


async def _told(house: House, text: str) -> bool:
    return text in house.logs()


async def test_a_lame_duck_says_that_it_is_not_ready_and_goes_on_serving(house: House) -> None:
    """Who balances sees it before a single connection is refused."""
    house.settings["SLUICE_LAME_DUCK_MS"] = "5000"
    gateway = await house.gateway()
    key = await _wide(house)
    assert await _ready(house) == b"200"
    gateway.terminate()
    await until(lambda: _says(house, b"503"))
    async with Client(house.port) as client:
        assert (await client.ask(key.text, tokens=3)).status == 200
    assert await asyncio.to_thread(gateway.wait, 60) == 0


async def _gone(house: House, count: int) -> bool:
    return (await _instances(house))[1] >= count


async def _running(house: House, count: int) -> bool:
    return (await _instances(house))[0] >= count


async def _says(house: House, status: bytes) -> bool:
    return await _ready(house) == status


async def _ready(house: House) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    status = (await reader.readline()).split()[1]
    writer.close()
    return status
