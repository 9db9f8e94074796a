"""DELETE /v1/keys/me: at once, everywhere, for ever; and never by mistake."""

import asyncio
from typing import Any

from tests.control.conftest import Open
from tests.control.plain_http import Told
from tests.control.rig import COST_TOKENS, Door, until
from tests.control.test_transfer import TRIAL, balance, hold, number, premium, proven


async def test_a_revoked_key_is_admitted_nowhere_after_the_200(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        minted = await here.mint()
        key = minted["api_key"]
        for door in (here, there):
            await door.spend(key)
        await here.me(key)
        told = await here.ask("DELETE", "/v1/keys/me", bearer=key)
        assert told.status == 200
        assert told.json() == {
            "key_id": minted["key_id"],
            "status": "revoked",
            "moved_tokens": 0,
            "forfeited_tokens": TRIAL - 2 * COST_TOKENS,
        }
        for door in (there, here):
            assert (await door.spend(key, expected=401)).json()["reason"] == "AUTH_API_KEY_REVOKED"
        for door in (here, there):
            for path in ("/v1/keys/me", "/v1/keys/me/usage", "/v1/requests/x"):
                told = await door.ask("GET", path, bearer=key)
                assert told.status == 401
                assert "revoked, which cannot be undone" in told.json()["detail"]
            assert (await door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 401
            assert (await door.ask("GET", "/", host="r.localhost", bearer=key)).status == 401
            dash = await door.ask("GET", "/api/v1/authorization", host="dash.localhost", bearer=key)
            assert dash.status == 401


async def test_a_revoked_key_stays_so_when_redis_forgets_everything(door: Door) -> None:
    key = (await door.mint())["api_key"]
    await door.spend(key)
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
    await door.node.ground.link.call(None, "FLUSHALL")
    assert (await door.spend(key, expected=401)).status == 401


async def test_what_was_left_is_forfeited_and_the_books_agree(door: Door) -> None:
    minted = await door.mint()
    credit = {"tokens": 500, "bucket": "paid", "ref": "r1"}
    await door.ops("POST", f"/admin/keys/{minted['key_id']}/credit", document=credit)
    await door.spend(minted["api_key"])
    await door.me(minted["api_key"])
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=minted["api_key"])).status == 200
    shown = (await door.ops("GET", f"/admin/keys/{minted['key_id']}")).json()
    assert shown["status"] == "revoked"
    assert shown["balance"] == {"trial": 0, "paid": 0, "held": 0, "total": 0}
    sums = await door.node.ground.shelf.account_sums()
    assert sums["forfeit"] == 10_000_000 + 500 - 7
    assert (await door.ops("GET", "/admin/reconcile")).json()["ok"]


A_BODY_THAT_IS = [
    ({"transfer_to_api_key": "sluice_x"}, "transfer_to_api_key"),
    ({"transfer_to_api_key": 7}, "transfer_to_api_key"),
    ({"transfer_to_key": "sluice_x"}, "transfer_to_key"),
]


async def _a_body_that_is_not_understood_revokes_nothing(
    door: Door, body: object, field: str
) -> None:
    key = (await door.mint())["api_key"]
    told = await door.ask("DELETE", "/v1/keys/me", bearer=key, document=body)
    assert told.status == 422
    (detail,) = told.json()["detail"]
    assert detail["loc"] == ["body", field]
    assert "the key was not revoked" in detail["msg"]
    assert (await door.me(key))["status"] == "active"


async def test_a_body_that_is_not_understood_revokes_nothing(door: Door) -> None:
    for case in A_BODY_THAT_IS:
        await _a_body_that_is_not_understood_revokes_nothing(door, *case)


AN_EMPTY_BODY_REVOKES = [b"", b"{}", b'{"transfer_to_api_key": null}', b" \n"]


async def _an_empty_body_revokes(door: Door, body: bytes) -> None:
    key = (await door.mint())["api_key"]
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=key, body=body)).status == 200


async def test_an_empty_body_revokes(door: Door) -> None:
    for case in AN_EMPTY_BODY_REVOKES:
        await _an_empty_body_revokes(door, case)


async def test_revocation_during_a_flood_lets_nobody_in_afterwards(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        key = (await here.mint())["api_key"]
        after = False
        late: list[int] = []

        async def flood(door: Door) -> None:
            while len(late) < 60:
                begun_after = after
                told = await door.ask("GET", "/https://a.example/", host="r.localhost", bearer=key)
                if begun_after:
                    late.append(told.status)

        floods = [asyncio.create_task(flood(door)) for door in (here, there) for _ in range(3)]
        await asyncio.sleep(0.15)
        assert (await here.ask("DELETE", "/v1/keys/me", bearer=key)).status == 200
        after = True
        await asyncio.gather(*floods)
        assert late
        assert set(late) == {401}

        async def nothing_held() -> bool:
            return await here.node.ground.gate.holds(f"k:{await _id(here, key)}") == (0, 0)

        await until(nothing_held)
        assert (await here.ops("GET", "/admin/reconcile")).json()["ok"]


async def _id(door: Door, key: str) -> int:
    found = door.node.pipeline._parts.identifier._keys.known(key)
    assert found is not None
    return found


async def revoke(door: Door, minted: dict[str, Any], other: str | None, query: str = "") -> Told:
    return await door.ask(
        "DELETE",
        "/v1/keys/me" + query,
        bearer=minted["api_key"],
        document={"transfer_to_api_key": other},
    )


async def test_paid_tokens_are_saved_before_the_key_ends(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    seen = await revoke(door, one, other["api_key"], "?preview=1")
    assert (await balance(door, one))["paid"] == 1_000
    told = await revoke(door, one, other["api_key"])
    assert told.status == 200
    assert told.json() == {
        "key_id": one["key_id"],
        "status": "revoked",
        "moved_tokens": 1_000,
        "forfeited_tokens": TRIAL,
        "to": {
            "key_id": other["key_id"],
            "tier": "premium",
            "balance": {"trial": TRIAL, "paid": 1_050, "total": TRIAL + 1_050},
        },
    }
    assert seen.json() == {"preview": True, **told.json()}
    assert (await door.spend(one["api_key"], expected=401)).status == 401
    assert (await balance(door, other))["paid"] == 1_050
    assert (await revoke(door, one, other["api_key"])).status == 401
    await proven(door)


async def test_what_requests_hold_is_not_saved_and_pays_for_nothing_else(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    await hold(door, one, TRIAL + 700)
    told = await revoke(door, one, other["api_key"])
    assert told.json()["moved_tokens"] == 300
    assert told.json()["forfeited_tokens"] == TRIAL + 700
    assert (await balance(door, other))["paid"] == 350
    await proven(door)


async def test_a_key_whose_tokens_cannot_be_saved_is_not_revoked(door: Door) -> None:
    one, trial, gone = await premium(door, 1_000), await door.mint(), await premium(door, 1)
    await door.ask("DELETE", "/v1/keys/me", bearer=gone["api_key"])
    for to, code in (
        (trial, "TRANSFER_NEEDS_PREMIUM"),
        (gone, "TRANSFER_RECEIVER_NOT_ACTIVE"),
        (one, "INPUT_INVALID"),
    ):
        for query in ("?preview=1", ""):
            told = await revoke(door, one, to["api_key"], query)
            assert 400 <= told.status < 500
            assert told.json()["code"] == code
            assert told.json()["message"].endswith("the key was not revoked")
    shown = await door.me(one["api_key"])
    assert (shown["status"], shown["balance"]["paid"]) == ("active", 1_000)
    assert shown["balance"]["held"] == 0


async def test_a_suspended_key_may_be_ended_but_its_tokens_stay(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    path = f"/admin/keys/{one['key_id']}/status"
    assert (await door.ops("PUT", path, document={"status": "suspended"})).status == 200
    told = await revoke(door, one, other["api_key"])
    assert (told.status, told.json()["code"]) == (402, "AUTHZ_KEY_SUSPENDED")
    told = await revoke(door, one, None)
    assert (told.status, told.json()["forfeited_tokens"]) == (200, TRIAL + 1_000)
    assert (await balance(door, other))["paid"] == 50


async def test_a_dry_run_ends_no_key_and_a_query_that_is_not_known_neither(door: Door) -> None:
    key = (await door.mint())["api_key"]
    path = "/v1/keys/me"
    seen = await door.ask("DELETE", path, bearer=key, headers={"Prefer": "respond-async, dry-run"})
    assert (seen.status, seen.json()["preview"]) == (200, True)
    for query in ("Preview=1", "dry_run=true"):
        told = await door.ask("DELETE", f"{path}?{query}", bearer=key)
        assert (told.status, told.json()["code"]) == (422, "INPUT_INVALID")
        assert "the key was not revoked" in told.json()["message"]
    await door.me(key)


async def test_a_premium_key_with_nothing_paid_left_can_name_a_receiver(door: Door) -> None:
    one, other = await premium(door, 7), await premium(door, 50)
    await door.ask(
        "POST",
        "/v1/keys/me/transfer",
        bearer=one["api_key"],
        document={"to_api_key": other["api_key"]},
    )
    seen = await revoke(door, one, other["api_key"], "?preview=1")
    told = await revoke(door, one, other["api_key"])
    assert (told.status, told.json()["moved_tokens"]) == (200, 0)
    assert seen.json() == {"preview": True, **told.json()}
    row = await door.node.ground.book.load_balance(number(one))
    assert row is not None
    assert row.status == "revoked"
    await proven(door)
