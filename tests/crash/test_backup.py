"""The drill: charge, back up, charge more, destroy everything, restore, reckon."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

from gateway.embedded.postgres_server import PostgresServer
from tests.crash.client import Client
from tests.crash.conftest import Own
from tests.crash.house import GRANT, House, Key, kill, until


async def _charge(house: House, key: Key, count: int) -> None:
    async with Client(house.port) as client:
        for _ in range(count):
            assert (await client.ask(key.text, tokens=3)).status == 200


async def _ended(process: subprocess.Popen[bytes]) -> int:
    return await asyncio.to_thread(process.wait, 60)


async def test_the_drill(own: Own) -> None:
    """What was charged until the backup is there, what came later is not, and the books prove it.

    Redis lives on with the newer balances of a future that is gone: they must not win.
    """
    house, folder = own.house, own.house.folder / "backup"
    # Shipped late, so that much of it is in the spool alone when the backup is made.
    house.settings["SLUICE_SHIP_INTERVAL_MS"] = "400"
    running = [await house.gateway(), house.worker()]
    key = await house.mint()
    await _charge(house, key, 20)
    await asyncio.sleep(0.2)
    assert await _ended(house.start("backup", "--to", str(folder))) == 0, house.logs()
    await _charge(house, key, 15)
    await until(lambda: _is(house, key, GRANT - 3 * 35))
    kill(running)
    await _destroy(own)
    again = PostgresServer(own.postgres.folder.parent)
    await again.start()
    try:
        assert await _ended(house.start("restore", "--from", str(folder))) == 0, house.logs()
        house.worker()
        await until(lambda: _is(house, key, GRANT - 3 * 20))
        await house.gateway()
        await _charge(house, key, 1)
        await until(lambda: _is(house, key, GRANT - 3 * 21))
        await until(lambda: _at_rest(house))
        assert await house.proof() == {}
        async with house.gate() as gate:
            assert [row.trial for row in await gate.copies()] == [GRANT - 3 * 21]
    finally:
        await house.close()
        await again.stop()


async def test_a_backup_that_is_not_whole_restores_nothing(own: Own) -> None:
    """Nor does one overwrite what is there."""
    house, folder = own.house, own.house.folder / "backup"
    key = await house.mint()
    assert await _ended(house.start("backup", "--to", str(folder))) == 0, house.logs()
    assert await _ended(house.start("backup", "--to", str(folder))) == 2
    assert await _ended(house.start("restore", "--from", str(folder))) == 1
    assert "not empty" in house.logs()
    assert await house.trial(key) == GRANT
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["migrations"][-1] in {path.name for path in Path("sql/migrations").iterdir()}
    with (folder / "ledger.dump").open("ab") as file:
        file.write(b"x")
    assert await _ended(house.start("restore", "--from", str(folder))) == 2
    (folder / "manifest.json").unlink()
    assert await _ended(house.start("restore", "--from", str(folder))) == 2


async def _destroy(own: Own) -> None:
    """The disk is gone; Redis is another machine."""
    await own.postgres.stop()
    shutil.rmtree(own.postgres.folder)
    shutil.rmtree(own.house.folder / "spool")


async def _is(house: House, key: Key, tokens: int) -> bool:
    return await house.trial(key) == tokens


async def _at_rest(house: House) -> bool:
    """The dead gateway's spool is adopted, and nothing is held."""
    return len(house.spools) == 1 and not await house.leftovers()
