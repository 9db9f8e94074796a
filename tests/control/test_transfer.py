"""POST /v1/keys/me/transfer: all or some of the paid tokens, once per name, never what is held."""

import asyncio
from typing import Any

from gateway.admission.ask import Ask, Code
from gateway.admission.scripts import tag_of
from gateway.keys.format import parse_key_id
from gateway.products.product import Limits
from tests.control.conftest import Open
from tests.control.plain_http import Told
from tests.control.rig import Door

TRIAL = 10_000_000
OPEN = Limits(1_000_000, None, 1_000_000)


async def premium(door: Door, paid: int = 1_000) -> dict[str, Any]:
    """A key that has bought this much."""
    minted = await door.mint()
    credit = {"tokens": paid, "bucket": "paid", "ref": f"credit {minted['key_id']}"}
    told = await door.ops("POST", f"/admin/keys/{minted['key_id']}/credit", document=credit)
    assert told.status == 200
    return minted


async def move(
    door: Door,
    sender: dict[str, Any],
    document: object,
    *,
    name: str | None = None,
    query: str = "",
) -> Told:
    headers = {} if name is None else {"Idempotency-Key": name}
    return await door.ask(
        "POST",
        "/v1/keys/me/transfer" + query,
        bearer=sender["api_key"],
        document=document,
        headers=headers,
    )


async def balance(door: Door, minted: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = (await door.me(minted["api_key"]))["balance"]
    return found


async def proven(door: Door) -> None:
    told = (await door.ops("GET", "/admin/reconcile")).json()
    assert told["ok"], told


def number(minted: dict[str, Any]) -> int:
    key_id = parse_key_id(minted["key_id"])
    assert key_id is not None
    return key_id


async def hold(door: Door, minted: dict[str, Any], tokens: int) -> str:
    """A request that runs and holds so much; its id."""
    subject = f"k:{number(minted)}"
    loop = asyncio.get_running_loop()
    ask = Ask(
        subject,
        tag_of(subject),
        "reader",
        f"held-{tokens}-{loop.time()}",
        OPEN,
        OPEN,
        0,
        tokens,
        4_000_000_000_000,
        "someone",
        1,
        keyed=True,
    )
    decided = await door.node.ground.gate.admit(ask)
    assert decided.code is Code.ADMITTED
    return ask.request_id


async def test_all_paid_tokens_move_and_no_trial_token_does(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    told = await move(door, one, {"to_api_key": other["api_key"]})
    assert told.status == 200
    assert told.json() == {
        "moved_tokens": 1_000,
        "from": {
            "key_id": one["key_id"],
            "tier": "premium",
            "balance": {"trial": TRIAL, "paid": 0, "total": TRIAL},
        },
        "to": {
            "key_id": other["key_id"],
            "tier": "premium",
            "balance": {"trial": TRIAL, "paid": 1_050, "total": TRIAL + 1_050},
        },
    }
    shown = await balance(door, one)
    assert shown == {"trial": TRIAL, "paid": 0, "held": 0, "total": TRIAL}
    assert (await balance(door, other))["paid"] == 1_050
    again = await move(door, one, {"to_api_key": other["api_key"]})
    assert (again.status, again.json()["code"]) == (409, "TRANSFER_NOTHING_TO_MOVE")
    await proven(door)


async def test_both_copies_are_in_redis_before_the_answer(door: Door) -> None:
    one, other = await premium(door, 500), await premium(door, 1)
    told = await move(door, one, {"to_api_key": other["api_key"], "tokens": 200})
    assert told.status == 200
    gate = door.node.ground.gate
    for minted, paid in ((one, 300), (other, 201)):
        standing = await gate.peek(f"k:{number(minted)}", [])
        assert (standing.paid, standing.held_tokens) == (paid, 0)


async def test_one_name_moves_once_and_a_second_body_under_it_is_refused(door: Door) -> None:
    one, other, third = [await premium(door, 1_000) for _ in range(3)]
    body = {"to_api_key": other["api_key"], "tokens": 300}
    first = await move(door, one, body, name="payday 1")
    await move(door, one, {"to_api_key": third["api_key"], "tokens": 100}, name="payday 2")
    again = await move(door, one, body, name="payday 1")
    assert (first.status, again.status) == (200, 200)
    assert first.json() == again.json()
    assert not first.has("idempotent-replayed")
    assert again["idempotent-replayed"] == "true"
    for changed in (
        {"to_api_key": other["api_key"], "tokens": 301},
        {"to_api_key": other["api_key"]},
        {"to_api_key": third["api_key"], "tokens": 300},
    ):
        told = await move(door, one, changed, name="payday 1")
        assert (told.status, told.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")
    assert [(await balance(door, key))["paid"] for key in (one, other, third)] == [
        600,
        1_300,
        1_100,
    ]
    # A name belongs to a key: the same word of another owner is another name.
    assert (await move(door, other, {"to_api_key": one["api_key"]}, name="payday 1")).status == 200
    await proven(door)


async def test_one_name_sent_many_times_at_once_moves_once(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        one, other = await premium(here, 1_000), await premium(here, 1)
        body = {"to_api_key": other["api_key"]}
        told = await asyncio.gather(
            *(move((here, there)[n % 2], one, body, name="once") for n in range(12))
        )
        assert {each.status for each in told} == {200}
        assert len({each.body for each in told}) == 1
        assert (await balance(there, other))["paid"] == 1_001
        await proven(here)


NO_NUMBERS: list[object] = [0, -1, 2**53, 2**63, 2**63 - 1, 1.5, "5", True, [1], {}, 1e3]
BODIES: list[tuple[dict[str, object], int, str]] = [
    ({}, 422, "INPUT_INVALID"),
    ({"to_api_key": None}, 422, "INPUT_INVALID"),
    ({"to_api_key": 7}, 422, "INPUT_INVALID"),
    ({"to_api_key": "sluice_x"}, 422, "INPUT_INVALID"),
    ({"to_api_key": ""}, 422, "INPUT_INVALID"),
    ({"to_api_key": ["x"]}, 422, "INPUT_INVALID"),
    *[({"to_api_key": "OTHER", "tokens": each}, 422, "INPUT_INVALID") for each in NO_NUMBERS],
    ({"to_api_key": "OTHER", "token": 5}, 422, "INPUT_INVALID"),
    ({"to_api_key": "ITSELF"}, 422, "INPUT_INVALID"),
    ({"to_api_key": "TRIAL"}, 403, "TRANSFER_NEEDS_PREMIUM"),
    ({"to_api_key": "REVOKED"}, 409, "TRANSFER_RECEIVER_NOT_ACTIVE"),
    ({"to_api_key": "SUSPENDED"}, 409, "TRANSFER_RECEIVER_NOT_ACTIVE"),
    ({"to_api_key": "UNKNOWN"}, 422, "INPUT_INVALID"),
    ({"to_api_key": "OTHER", "tokens": 1_001}, 402, "AUTHZ_INSUFFICIENT_BALANCE"),
    ({"to_api_key": "OTHER", "tokens": 2**53 - 1}, 402, "AUTHZ_INSUFFICIENT_BALANCE"),
]


async def _receivers(door: Door, one: dict[str, Any]) -> dict[str, str]:
    other, revoked, suspended, trial = (
        await premium(door, 1),
        await premium(door, 1),
        await premium(door, 1),
        await door.mint(),
    )
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=revoked["api_key"])).status == 200
    path = f"/admin/keys/{suspended['key_id']}/status"
    assert (await door.ops("PUT", path, document={"status": "suspended"})).status == 200
    unknown = one["api_key"][:-12] + "0" * 12
    return {
        "OTHER": other["api_key"],
        "ITSELF": one["api_key"],
        "TRIAL": trial["api_key"],
        "REVOKED": revoked["api_key"],
        "SUSPENDED": suspended["api_key"],
        "UNKNOWN": unknown,
    }


async def test_what_cannot_be_moved_is_a_clear_4xx_and_moves_nothing(door: Door) -> None:
    one = await premium(door, 1_000)
    keys = await _receivers(door, one)
    for document, status, code in BODIES:
        body = dict(document)
        given = body.get("to_api_key")
        body["to_api_key"] = keys.get(given, given) if isinstance(given, str) else given
        for query in ("", "?preview=1"):
            told = await move(door, one, body, query=query)
            assert (told.status, told.json()["code"]) == (status, code), (document, told)
            assert told.json()["message"].endswith("nothing was moved"), document
            assert one["api_key"] not in told.text
    assert await balance(door, one) == {
        "trial": TRIAL,
        "paid": 1_000,
        "held": 0,
        "total": TRIAL + 1_000,
    }
    await proven(door)


async def test_a_sender_without_the_right_moves_nothing(door: Door) -> None:
    other, trial, suspended = await premium(door, 1), await door.mint(), await premium(door, 9)
    told = await move(door, trial, {"to_api_key": other["api_key"]})
    assert (told.status, told.json()["code"]) == (403, "TRANSFER_NEEDS_PREMIUM")
    path = f"/admin/keys/{suspended['key_id']}/status"
    await door.ops("PUT", path, document={"status": "suspended"})
    told = await move(door, suspended, {"to_api_key": other["api_key"]})
    assert (told.status, told.json()["code"]) == (402, "AUTHZ_KEY_SUSPENDED")
    assert (await balance(door, other))["paid"] == 1


NAMES = [
    [("Idempotency-Key", "")],
    [("Idempotency-Key", "x" * 256)],
    [("Idempotency-Key", "t\u00fcr")],
    [("Idempotency-Key", "one"), ("Idempotency-Key", "another")],
]


async def test_a_name_that_cannot_be_kept_is_refused(door: Door) -> None:
    one, other = await premium(door, 5), await premium(door, 5)
    for headers in NAMES:
        told = await door.ask(
            "POST",
            "/v1/keys/me/transfer",
            bearer=one["api_key"],
            document={"to_api_key": other["api_key"]},
            headers=headers,
        )
        assert (told.status, told.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert (await balance(door, other))["paid"] == 5


async def test_a_preview_tells_what_would_happen_and_changes_nothing(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    body = {"to_api_key": other["api_key"], "tokens": 400}
    seen = await move(door, one, body, query="?preview=1", name="later")
    assert seen.status == 200
    assert (await balance(door, one))["paid"] == 1_000
    assert (await balance(door, other))["paid"] == 50
    assert not await door.node.ground.postgres.rows("select 1 from deed")
    done = await move(door, one, body, name="later")
    assert {"preview": True, **done.json()} == seen.json()
    told = await move(door, one, body, query="?preview=maybe")
    assert (told.status, (await balance(door, one))["paid"]) == (422, 600)


async def test_a_dry_run_moves_nothing_and_a_query_that_is_not_known_neither(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 50)
    wished = {"bearer": one["api_key"], "document": {"to_api_key": other["api_key"]}}
    path = "/v1/keys/me/transfer"
    seen = await door.ask("POST", path, **wished, headers={"Prefer": "dry-run"})
    assert (seen.status, seen.json()["preview"]) == (200, True)
    for query in ("Preview=1", "dry_run=1", "preview=1&x="):
        assert (await door.ask("POST", f"{path}?{query}", **wished)).status == 422
    assert (await balance(door, one))["paid"] == 1_000


async def test_without_redis_nothing_is_moved(door: Door) -> None:
    one, other = await premium(door, 100), await premium(door, 100)
    await door.node.ground.link.close()
    told = await move(door, one, {"to_api_key": other["api_key"]})
    assert told.status == 503
    row = await door.node.ground.book.load_balance(number(one))
    assert row is not None
    assert row.paid == 100
