"""POST /v1/keys: its shape, and how many an address may have in a day."""

import asyncio

import asyncpg
import pytest

from tests.control.conftest import Open
from tests.control.rig import Door

DAY_S = 24 * 3_600


async def test_mint_answers_the_published_shape(door: Door) -> None:
    told = await door.ask("POST", "/v1/keys")
    assert told.status == 201
    minted = told.json()
    assert set(minted) == {"api_key", "key_id", "tier", "balance"}
    assert minted["api_key"].startswith("sluice_")
    assert len(minted["api_key"]) == len("sluice_") + 60
    assert minted["key_id"].startswith("key_")
    assert minted["tier"] == "key"
    assert minted["balance"] == {"trial": 10_000_000, "paid": 0, "total": 10_000_000}
    assert told["cache-control"] == "no-store"
    assert len(told["x-request-id"]) == 36


async def test_an_address_gets_as_many_keys_as_the_setting_says_in_a_day(open_door: Open) -> None:
    async with open_door(KEYS_PER_ADDRESS="2") as door:
        answers = await asyncio.gather(*(door.ask("POST", "/v1/keys") for _ in range(12)))
        assert sorted(told.status for told in answers) == [201] * 2 + [429] * 10
        refused = next(told for told in answers if told.status == 429)
        assert DAY_S - 60 <= int(refused["retry-after"]) <= DAY_S
        told = refused.json()
        assert told["code"] == "RATE_NEW_KEYS_LIMIT_EXCEEDED"
        assert told["detail"] == "Only 2 trial keys can be made from one address in a day"
        assert told["limit"] == 2
        assert DAY_S - 60 <= told["retry_after_ms"] / 1_000 <= DAY_S
        assert (await door.ask("POST", "/v1/keys", address="127.0.0.2")).status == 201


async def test_the_day_slides_and_the_wait_that_was_told_is_enough(
    open_door: Open, database: str
) -> None:
    async with open_door(KEYS_PER_ADDRESS="1") as door:
        await door.mint()
        await _make_older(database, DAY_S - 100)
        refused = await door.ask("POST", "/v1/keys")
        assert refused.status == 429
        wait_s = int(refused["retry-after"])
        assert 1 < wait_s <= 100
        # All of the wait but its last second passes at once.
        await _make_older(database, wait_s - 1)
        await asyncio.sleep(1)
        await door.mint()
        assert (await door.ask("POST", "/v1/keys")).status == 429


async def _make_older(database: str, seconds: int) -> None:
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("alter table api_key disable trigger user")
        await line.execute(
            "update api_key set created_at = created_at - make_interval(secs => $1)", seconds
        )
        await line.execute("alter table api_key enable trigger user")
    finally:
        await line.close()


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("198.51.100.7", "198.51.100.8", False),
        ("198.51.100.7", "203.0.113.9, 198.51.100.7", True),
        ("198.51.100.7", "198.51.100.7, 127.0.0.9", True),
        ("198.51.100.7", "::ffff:198.51.100.7", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
async def test_behind_trusted_proxies_the_last_foreign_hop_is_the_address(
    open_door: Open, first: str, second: str, same: bool
) -> None:
    async with open_door(KEYS_PER_ADDRESS="1", TRUSTED_PROXIES="127.0.0.0/8") as door:
        await door.mint(headers={"X-Forwarded-For": first})
        told = await door.ask("POST", "/v1/keys", headers={"X-Forwarded-For": second})
        assert told.status == (429 if same else 201)


async def test_nobody_but_a_trusted_proxy_chooses_his_address(open_door: Open) -> None:
    async with open_door(KEYS_PER_ADDRESS="1", TRUSTED_PROXIES="127.0.0.99/32") as door:
        await door.mint(headers={"X-Forwarded-For": "198.51.100.7"})
        for lie in ("198.51.100.8", "garbage", "2001:db8::1", ", ,"):
            told = await door.ask("POST", "/v1/keys", headers={"X-Forwarded-For": lie})
            assert told.status == 429


async def test_closed_minting_says_so_and_names_no_wait(open_door: Open) -> None:
    async with open_door(KEYS_PER_ADDRESS="0") as door:
        told = await door.ask("POST", "/v1/keys")
        assert told.status == 403
        assert told.json()["detail"] == "This installation gives out no trial keys"
        assert not told.has("retry-after")


async def test_prefix_of_keys_is_a_setting(open_door: Open) -> None:
    async with open_door(KEY_PREFIX="acme_") as door:
        minted = await door.mint()
        assert minted["api_key"].startswith("acme_")
        assert (await door.me(minted["api_key"]))["key_id"] == minted["key_id"]


async def test_a_minted_key_can_be_spent_at_once_without_a_look_up(door: Door) -> None:
    minted = await door.mint()
    before = door.node.ground.postgres.queries
    await door.spend(minted["api_key"])
    load_balance, post_outcomes, beat = 1, 1, 1
    assert door.node.ground.postgres.queries - before <= load_balance + post_outcomes + beat
