"""`sluice serve` with two gateway processes and one operations listener beside them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.ports import any_free
from ops.bench.money_race import Places, Race, exactly, proven, shortfalls
from ops.bench.revocation import measure
from tests.control.plain_http import Told, ask
from tests.control.rig import COST_TOKENS, TOKEN, until
from tests.control.test_ops import scrape, value
from tests.embedded.processes import ROOT, Seen, family

DONE = {"product": "reader", "outcome": "complete"}


@dataclass(frozen=True)
class Served:
    """What answers like a Door, as processes."""

    pid: int
    port: int
    ops_port: int

    async def ask(self, method: str, path: str, **how: Any) -> Told:
        return await ask(self.port, method, path, **how)

    async def ops(self, method: str, path: str, *, token: str | None = TOKEN, **how: Any) -> Told:
        return await ask(self.ops_port, method, path, bearer=token, **how)

    def gateways(self) -> list[Seen]:
        """The gateway processes."""
        return [seen for seen in family(self.pid) if "serve --child" in seen.command]


@asynccontextmanager
async def serve(environment: dict[str, str]) -> AsyncIterator[Served]:
    port = any_free("127.0.0.1")
    ops_port = any_free("127.0.0.1", but=(port,))
    settings = {**environment, "PORT": str(port), "OPS_PORT": str(ops_port), "WORKERS": "2"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway",
        "serve",
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            **{f"SLUICE_{name}": text for name, text in settings.items()},
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    served = Served(process.pid, port, ops_port)
    try:
        await until(lambda: _ready(served), within_s=90)
        yield served
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _ready(served: Served) -> bool:
    """Both gateways have told their numbers."""
    try:
        samples = await scrape(served)
    except OSError:
        return False
    return value(samples, "sluice_gateways") == 2


@pytest.fixture
async def served(
    tmp_path: Path, database: str, redis_url: str, service: str
) -> AsyncIterator[Served]:
    environment = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": TOKEN,
        "DRAIN_MS": "1000",
        "SERVICE_READER_URL": service,
        "SERVICE_EMBEDDINGS_URL": service,
        "KEYS_PER_ADDRESS": "1000",
    }
    async with serve(environment) as running:
        yield running


async def test_two_processes_are_one_gateway_to_owner_and_operator(served: Served) -> None:
    minted = (await served.ask("POST", "/v1/keys")).json()
    key, path = minted["api_key"], f"/admin/keys/{minted['key_id']}"
    # Each request has a connection of its own, and the kernel spreads them over both processes.
    for spent in range(1, 13):
        told = await served.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        assert told.status == 200
        shown = (await served.ask("GET", "/v1/keys/me", bearer=key)).json()
        assert shown["balance"]["total"] == 10_000_000 - spent * COST_TOKENS
    told = await served.ops("PUT", f"{path}/limits", document={"reader": {"rpm": 12}})
    assert told.status == 200
    for _ in range(6):
        told = await served.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        assert told.status == 429
    credit = {"tokens": 10, "bucket": "paid", "ref": "p1"}
    assert (await served.ops("POST", f"{path}/credit", document=credit)).status == 200
    for _ in range(4):
        assert (await served.ask("GET", "/v1/keys/me", bearer=key)).json()["tier"] == "premium"
    assert (await served.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
    for _ in range(8):
        told = await served.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        # A process may remember for a second that the key had reached its limit.
        assert told.status in (401, 429)
    await asyncio.sleep(1)
    for _ in range(8):
        told = await served.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
        assert told.status == 401
    assert (await served.ops("GET", "/admin/reconcile")).json()["ok"]


async def test_two_processes_lose_no_token_and_admit_no_revoked_key(
    served: Served, database: str
) -> None:
    """The short form of `python -m ops.bench.revocation` and `ops.bench.money_race`."""
    seen = await measure(served.port, tries=12, connections=6)
    assert seen.admitted_before > 0
    assert (seen.admitted_after, seen.refused_after) == (0, 12 * 5 * 2)
    places = Places(served.port, served.ops_port, TOKEN)
    statuses, balance = await exactly(places, requests=400)
    assert statuses == {200: 100, 402: 300}
    assert balance == {"trial": 0, "paid": 0, "held": 0, "total": 0}
    raced = await Race(places, seconds=3, seed=7).run(workers=16)
    assert raced.odd == []
    for done in ("charge 200", "credit 200", "transfer 200", "revocation 200"):
        assert raced.done[done] > 0, raced.done
    assert await proven(places) == {}
    assert await shortfalls(database) == 0


async def test_a_killed_gateway_takes_its_levels_along_and_leaves_its_counts(
    served: Served,
) -> None:
    key = (await served.ask("POST", "/v1/keys")).json()["api_key"]
    for _ in range(10):
        await served.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)

    async def all_counted() -> bool:
        return value(await scrape(served), "sluice_requests_total", **DONE) == 10

    await until(all_counted)
    victim = served.gateways()[0]
    # Somebody is connected to it when it dies.
    idle = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(8)]

    async def connected() -> bool:
        return value(await scrape(served), "sluice_open_connections") >= 8

    await until(connected)
    os.kill(victim.pid, signal.SIGKILL)
    for _, writer in idle:
        writer.close()

    async def forgotten() -> bool:
        samples = await scrape(served)
        assert value(samples, "sluice_requests_total", **DONE) == 10
        return (
            value(samples, "sluice_gateways") == 2
            and value(samples, "sluice_open_connections") == 0
        )

    await until(forgotten)
    assert victim.pid not in {seen.pid for seen in served.gateways()}
    files = list((served_folder(served)).glob("*-*.json"))
    assert len(files) <= 3


def served_folder(served: Served) -> Path:
    """Where its processes share their numbers."""
    environ = Path(f"/proc/{served.pid}/environ").read_bytes().decode().split("\0")
    settings = dict(line.partition("=")[::2] for line in environ if "=" in line)
    return Path(settings["SLUICE_DATA_DIR"]) / "metrics"


async def test_a_gateway_that_stands_still_is_seen_by_readiness(served: Served) -> None:
    first, second = served.gateways()
    os.kill(first.pid, signal.SIGSTOP)
    try:

        async def degraded() -> bool:
            told = await served.ops("GET", "/ready", token=None)
            return bool(told.json()["spool"] == "1 of 2 gateway processes take no outcomes")

        await until(degraded)
        os.kill(second.pid, signal.SIGSTOP)
        try:

            async def not_ready() -> bool:
                return (await served.ops("GET", "/ready", token=None)).status == 503

            await until(not_ready)
        finally:
            os.kill(second.pid, signal.SIGCONT)
    finally:
        os.kill(first.pid, signal.SIGCONT)

    async def ready() -> bool:
        return bool((await served.ops("GET", "/ready", token=None)).json()["status"] == "ok")

    await until(ready)
