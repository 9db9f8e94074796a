"""The canary: what is right it calls right, and each kind of wrong it finds."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web

from gateway.control.canary import FREE, LIMIT, REVOCATION, Canary, Plan
from gateway.control.canary_door import Answer, PublicDoor
from gateway.control.canary_keys import FILE, LEAST_TOKENS, CanaryKeys
from gateway.keys.store import KeyStore
from gateway.ledger.canary import CanaryLog, Sample
from gateway.sql import load_queries
from tests.control.conftest import Open
from tests.control.rig import COST_TOKENS, PEPPER, Door

PLAN = Plan(("reader", "segment", "embeddings"), "http://page.example/", 1, 1, first_after_s=0)


class Altered(PublicDoor):
    """The real door, whose answers are changed on the way."""

    def __init__(self, base: str, change: Callable[[str, Answer], Answer]) -> None:
        super().__init__(base)
        self._change = change

    async def ask(self, method: str, path: str, key: str | None = None, **how: object) -> Answer:
        answer = await super().ask(method, path, key, **how)  # type: ignore[arg-type]
        return self._change(f"{method} {path}", answer)


def _keys(door: Door, folder: Path) -> CanaryKeys:
    ground = door.node.ground
    store = KeyStore(ground.book, PEPPER.encode(), "sluice_")
    return CanaryKeys(ground.book, ground.gate, store, "sluice_", folder)


def _canary(
    door: Door,
    folder: Path,
    change: Callable[[str, Answer], Answer] = lambda _, answer: answer,
    plan: Plan = PLAN,
) -> Canary:
    ground = door.node.ground
    log = CanaryLog(ground.postgres, load_queries())
    public = Altered(f"http://127.0.0.1:{door.port}", change)
    return Canary(plan, public, _keys(door, folder), log, ground.telemetry)


@pytest.fixture
async def honest() -> AsyncIterator[str]:
    """A reader that gives every page, but none of a host that does not exist."""

    async def answer(request: web.Request) -> web.Response:
        if "canary.invalid" in request.raw_path:
            return web.json_response({"code": 422}, status=422)
        return web.Response(text="a page", headers={"x-usage-tokens": str(COST_TOKENS)})

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_round_finds_everything_right_and_notes_it(
    open_door: Open, tmp_path: Path, honest: str
) -> None:
    async with open_door(SERVICE_READER_URL=honest) as door:
        await _two_rounds(door, tmp_path)


async def _two_rounds(door: Door, folder: Path) -> None:
    canary = _canary(door, folder)
    for _ in range(2):
        assert await canary.run_once() == 0
        await asyncio.sleep(0.01)
    log = CanaryLog(door.node.ground.postgres, load_queries())
    seen = {each.subject: each for each in await log.latest()}
    assert {name: each.ok for name, each in seen.items()} == {
        "reader": True,
        "segment": True,
        "embeddings": None,
        FREE: True,
        LIMIT: True,
        REVOCATION: True,
    }, seen
    assert seen["embeddings"].text == "not deployed"
    days = {span.subject: span for span in await log.days()}
    assert "embeddings" not in days
    assert (days["reader"].runs, days["reader"].failures) == (2, 0)
    assert days["reader"].most_ms >= days["reader"].mean_ms >= 0
    assert {span.subject: span.runs for span in await log.hours()}["segment"] == 2
    shown = door.node.ground.telemetry
    assert shown.canary_ok.labels("reader").value == 1
    assert 0 < shown.canary_revocation.labels().value < 60
    told = (await door.ops("GET", "/admin/canary")).json()
    assert {each["subject"]: each["ok"] for each in told["latest"]}["reader"] is True
    assert told["days"]
    assert (await door.ops("GET", "/admin/reconcile")).json()["ok"] is True


def _page_that_fails(what: str, answer: Answer) -> Answer:
    return replace(answer, status=422) if "canary.invalid" in what else answer


def _one_more(what: str, answer: Answer) -> Answer:
    if what.startswith("GET /r/"):
        return replace(answer, headers={**answer.headers, "x-usage-tokens": "8"})
    return answer


def _down(what: str, answer: Answer) -> Answer:
    return Answer(0, fault="TimeoutError") if what.startswith("GET /r/") else answer


def _lost(what: str, answer: Answer) -> Answer:
    return replace(answer, status=404) if "/v1/requests/" in what else answer


def _uncharged(what: str, answer: Answer) -> Answer:
    if "/v1/requests/" in what and b'"charged":7' in answer.body:
        return replace(answer, body=answer.body.replace(b'"charged":7', b'"charged":0'))
    return answer


@pytest.mark.parametrize(
    ("change", "subject", "text"),
    [
        (_one_more, "reader", "the reply said 8 and 7 were charged"),
        (_down, "reader", "it had none: TimeoutError"),
        (_uncharged, "reader", "the reply said 7 and 0 were charged"),
        (lambda _, answer: answer, FREE, "a page that is not there was answered with 200"),
    ],
)
async def test_each_kind_of_wrong_is_found(
    door: Door,
    tmp_path: Path,
    change: Callable[[str, Answer], Answer],
    subject: str,
    text: str,
) -> None:
    samples = {each.subject: each for each in await _canary(door, tmp_path, change).round()}
    assert (samples[subject].ok, samples[subject].text) == (False, text)


async def test_a_charge_for_what_failed_is_found(door: Door, tmp_path: Path) -> None:
    """The stub is paid for the page; the canary is told that it failed."""
    samples = await _canary(door, tmp_path, _page_that_fails).round()
    found = {each.subject: each for each in samples}[FREE]
    assert (found.ok, found.text) == (False, "charged 7")


async def test_an_outcome_that_never_comes_is_found(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.control.canary_door._POSTED_S", 0.2)
    samples = {each.subject: each for each in await _canary(door, tmp_path, _lost).round()}
    assert samples["reader"].text == "its outcome is not in the ledger"


async def test_limits_that_do_nothing_and_keys_that_live_on_are_found(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.control.canary._REVOKED_WITHIN_S", 0.2)

    def open_to_all(what: str, answer: Answer) -> Answer:
        return replace(answer, status=200) if answer.status in (401, 429) else answer

    canary = _canary(door, tmp_path, open_to_all)
    await canary.round()
    limit, revocation = await canary.round_of_keys()
    assert (limit.ok, revocation.ok) == (False, False)
    assert limit.text == (
        "segment: the first was answered with 200, the second was answered with 200"
    )
    assert revocation.text == "a revoked key was answered with 200"


async def test_its_key_is_ones_own_kept_filled_up_and_named(
    door: Door, tmp_path: Path, database: str
) -> None:
    keys = _keys(door, tmp_path)
    text, key_id = await keys.own()
    assert await keys.own() == (text, key_id)
    assert stat.S_IMODE(os.stat(tmp_path / FILE).st_mode) == 0o600
    line = await asyncpg.connect(database, ssl=False)
    try:
        assert await line.fetchval("select address_hmac from api_key") is None
        assert await line.fetchval("select owner from api_key") == "sluice canary"
        await line.execute("set session_replication_role = replica")
        await line.execute("update key_balance set trial = 5")
    finally:
        await line.close()
    assert await keys.own() == (text, key_id)
    row = await door.node.ground.book.load_balance(key_id)
    assert row is not None
    assert row.trial > LEAST_TOKENS
    await door.node.ground.book.revoke(key_id)
    other = await keys.own()
    assert other[0] != text
    assert (tmp_path / FILE).read_text().strip() == other[0]


async def test_nothing_happens_before_the_door_is_open_or_when_it_is_turned_off(
    door: Door, tmp_path: Path
) -> None:
    closed = _canary(door, tmp_path, lambda _, answer: replace(answer, status=503))
    assert await closed.run_once() == 0
    off = _canary(door, tmp_path, plan=replace(PLAN, every_ms=0))
    assert await off.run_once() == 0
    early = _canary(door, tmp_path, plan=replace(PLAN, first_after_s=30))
    assert await early.run_once() == 0
    assert not (tmp_path / FILE).exists()


async def test_the_history_is_90_days_long(door: Door, database: str) -> None:
    log = CanaryLog(door.node.ground.postgres, load_queries())
    await log.note([Sample("reader", True, 10), Sample("search", False, 20, "it had none")])
    line = await asyncpg.connect(database, ssl=False)
    try:
        sql = "update canary_hour set hour = hour - interval '{} days' where subject = '{}'"
        await line.execute(sql.format(91, "reader"))
        await line.execute(sql.format(89, "search"))
    finally:
        await line.close()
    await log.note([Sample("segment", True, 10)])
    assert [span.subject for span in await log.days()] == ["search", "segment"]
