"""The access log: one line for a request, nothing that is not in the books as well."""

import logging

import pytest

from gateway.telemetry.logs import ACCESS
from tests.control.conftest import Open
from tests.control.rig import COST_TOKENS, Door


def _told(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    names = ("request_id", "product", "status", "tokens", "ms", "trace_id")
    return [
        {name: getattr(record, name) for name in names if hasattr(record, name)}
        for record in caplog.records
        if record.name == ACCESS
    ]


async def test_each_request_is_a_line_with_what_it_cost(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    async with open_door(ACCESS_LOG="1") as door:
        key = (await door.mint())["api_key"]
        caplog.clear()
        told = await door.spend(key)
        await door.ask("GET", f"/nothing?api_key={key}", bearer=key)
        # Who has its answer may ask before the line of it is written.
        await door.ask("GET", "/health")
        minted, missing, *_ = _told(caplog)
    assert float(str(minted.pop("ms"))) > 0
    assert minted == {
        "request_id": told["x-request-id"],
        "product": "reader",
        "status": 200,
        "tokens": COST_TOKENS,
    }
    assert (missing["status"], missing["product"], missing["tokens"]) == (404, "", 0)
    assert key not in caplog.text
    assert "nothing" not in caplog.text


async def test_a_share_is_told_and_every_failure(
    open_door: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    async with open_door(ACCESS_LOG="1000000") as door:
        for _ in range(5):
            await door.ask("GET", "/health")
        told = await door.ask("GET", "/https://a.example/fail", host="r.localhost")
        assert told.status >= 500
        await door.ask("GET", "/health")
    assert [each["status"] for each in _told(caplog)] == [told.status]


async def test_without_the_setting_nothing_is_told(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await door.ask("GET", "/https://a.example/", host="r.localhost")
    assert _told(caplog) == []


async def test_a_bug_is_logged_under_the_id_that_the_client_was_told(
    door: Door, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(door.node.pipeline._parts.router, "route", broken)
    told = await door.ask("GET", "/https://a.example/", host="r.localhost")
    assert told.status == 500
    (record,) = (each for each in caplog.records if each.exc_info)
    assert vars(record)["request_id"] == told["x-request-id"]
