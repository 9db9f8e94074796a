"""The older dashboard calls, as published clients make them."""

from datetime import UTC, datetime

import pytest

from tests.control.plain_http import Told
from tests.control.rig import COST_TOKENS, Door

HOSTS = ("dash.localhost", "embeddings-dashboard-api.localhost")


async def _dash(door: Door, path: str, bearer: str | None = None, method: str = "GET") -> Told:
    return await door.ask(method, f"/api/v1/{path}", host=HOSTS[0], bearer=bearer)


@pytest.mark.parametrize("host", HOSTS)
async def test_mint_and_user_brief_as_old_clients_ask_for_them(door: Door, host: str) -> None:
    minted = await door.ask("POST", "/api/v1/api_key", host=host)
    assert minted.status == 201
    key = minted.json()["api_key"]
    await door.spend(key)
    for path in (f"api_key/user?api_key={key}", f"api_key/fe_user?api_key={key}"):
        told = await door.ask("GET", f"/api/v1/{path}", host=host)
        assert told.status == 200
        brief = told.json()
        left = 10_000_000 - COST_TOKENS
        assert brief["user_id"] == minted.json()["key_id"]
        assert brief["wallet"]["trial_balance"] == left
        assert brief["wallet"]["regular_balance"] == 0
        assert brief["wallet"]["total_balance"] == left
        assert brief["metadata"]["speed_level"] == 1
    told = await door.ask("GET", "/api/v1/authorization", host=host, bearer=key)
    assert told.json() == brief


async def test_premium_keys_have_the_speed_level_that_clients_read(door: Door) -> None:
    minted = await door.mint()
    credit = {"tokens": 5_000, "bucket": "paid", "ref": "d1"}
    await door.ops("POST", f"/admin/keys/{minted['key_id']}/credit", document=credit)
    brief = (await _dash(door, "authorization", minted["api_key"])).json()
    assert brief["metadata"]["speed_level"] == 2
    assert brief["wallet"]["regular_balance"] == 5_000
    assert brief["wallet"]["total_balance"] == 10_005_000


async def test_a_missing_query_key_is_422_and_a_bad_one_401(door: Door) -> None:
    key = (await door.mint())["api_key"]
    told = await _dash(door, "api_key/user", bearer=key)
    assert told.status == 422
    (detail,) = told.json()["detail"]
    assert (detail["loc"], detail["msg"]) == (["query", "api_key"], "field required")
    for bad in (
        "x",
        key[:-1],
        "%00",
        "%ff",
        "a&api_key=b",
        key.replace("sluice_", "sluice%5F") + "x",
    ):
        told = await _dash(door, f"api_key/user?api_key={bad}")
        assert told.status == 401
        assert told.json()["detail"].startswith("Invalid API key")
    assert (await _dash(door, "authorization")).status == 401


async def test_transactions_tell_grant_purchase_and_use(door: Door) -> None:
    minted = await door.mint()
    key = minted["api_key"]
    credit = {"tokens": 5_000, "bucket": "paid", "ref": "d2"}
    await door.ops("POST", f"/admin/keys/{minted['key_id']}/credit", document=credit)
    await door.spend(key)
    await door.spend(key)
    told = (await _dash(door, "billing/transaction", key)).json()
    today = datetime.now(UTC).date().isoformat()
    assert [(each["type"], each["quantity"]) for each in told] == [
        ("purchase", 5_000),
        ("trial", 10_000_000),
        ("consume", 2 * COST_TOKENS),
    ]
    assert told[-1]["metadata"] == {"product_name": "reader"}
    assert all(each["updated_at"].startswith(today) for each in told)


async def test_what_needs_stripe_says_so_and_models_are_listed(door: Door) -> None:
    key = (await door.mint())["api_key"]
    assert (await _dash(door, "product")).status == 503
    assert (await _dash(door, "checkout_session", key, method="POST")).status == 503
    models = (await _dash(door, "models")).json()
    assert {model["name"] for model in models} == {"reader", "segmenter"}
    assert (await _dash(door, "api_key", method="GET")).status == 405
    assert (await _dash(door, "nothing")).status == 404
