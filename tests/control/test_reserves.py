"""What requests hold stays with them while tokens move, and what moves admits nobody."""

import pytest

from gateway.admission.reserves import LIVES_MS
from tests.control.conftest import Open
from tests.control.rig import Door, until
from tests.control.test_transfer import TRIAL, balance, hold, move, number, premium, proven


async def test_what_running_requests_hold_stays_with_them(door: Door) -> None:
    one, other = await premium(door, 1_000), await premium(door, 1)
    # Trial tokens are spent first: of this hold 600 may have to be paid with paid ones.
    await hold(door, one, TRIAL + 600)
    told = await move(door, one, {"to_api_key": other["api_key"], "tokens": 401})
    assert (told.status, told.json()["code"]) == (402, "AUTHZ_INSUFFICIENT_BALANCE")
    assert told.json()["movable_tokens"] == 400
    assert told.json()["held_tokens"] == TRIAL + 600
    seen = await move(door, one, {"to_api_key": other["api_key"]}, query="?preview=1")
    assert seen.json()["moved_tokens"] == 400
    told = await move(door, one, {"to_api_key": other["api_key"]})
    assert told.json()["moved_tokens"] == 400
    told = await move(door, one, {"to_api_key": other["api_key"]})
    assert (told.status, told.json()["code"]) == (409, "TRANSFER_NOTHING_TO_MOVE")
    assert (await balance(door, one))["paid"] == 600


async def test_what_is_being_moved_admits_nobody(door: Door) -> None:
    one = await premium(door, 1_000)
    parts, key_id = door.node.ground, number(one)
    row = await parts.book.load_balance(key_id)
    assert row is not None
    await parts.gate.put_balance(row)
    await hold(door, one, TRIAL)
    reserve = await parts.reserves.take(key_id, "moving", None)
    assert (reserve.tokens, reserve.held_tokens) == (1_000, TRIAL)
    # The same again is the same reserve; another finds nothing, and neither does a request.
    assert (await parts.reserves.take(key_id, "moving", None)).tokens == 1_000
    assert (await parts.reserves.take(key_id, "another", None)).tokens == 0
    standing = await parts.gate.peek(f"k:{key_id}", [])
    assert (standing.held_tokens, standing.open_requests) == (TRIAL + 1_000, 1)
    with pytest.raises(AssertionError, match="BALANCE_TOO_LOW"):
        await hold(door, one, 1)


async def test_a_reserve_that_nobody_ends_is_released_at_its_deadline(
    open_door: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LIVES_MS >= 10_000
    monkeypatch.setattr("gateway.admission.reserves.LIVES_MS", 300)
    async with open_door(with_worker=True) as door:
        one = await premium(door, 1_000)
        key_id, ground = number(one), door.node.ground
        reserve = await ground.reserves.take(key_id, "forgotten", 700)
        assert reserve.tokens == 700

        async def released() -> bool:
            return await ground.gate.holds(f"k:{key_id}") == (0, 0)

        await until(released)
        assert not await ground.postgres.rows("select 1 from outcome")
        await proven(door)
