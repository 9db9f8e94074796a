"""A balance that was read before Redis lost its memory is not written after it: a newer one may
have been lost, and the older would let in whom that kept out.
"""

import ast
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.ledger.shelf import Shelf
from tests.control.conftest import Open
from tests.control.plain_http import Told
from tests.control.rig import Door, until
from tests.control.test_lost_memory import killed_and_back
from tests.control.test_transfer import number, premium
from tests.degraded.redis_scene import own_redis
from tests.house.tree import modules

Act = Callable[[Door, dict[str, str]], Awaitable[Told]]
ROWS_AND_MEMORY = {"put_balance": 2, "settle": 3}


async def _admin(door: Door, one: dict[str, str]) -> Told:
    limits = {"reader": {"rpm": 7}}
    return await door.ops("PUT", f"/admin/keys/{one['key_id']}/limits", document=limits)


async def _owner(door: Door, one: dict[str, str]) -> Told:
    return await door.ask("GET", "/v1/keys/me", bearer=one["api_key"])


@pytest.mark.parametrize(
    ("act", "reader", "call", "status"),
    [(_admin, Book, "set_limits", 202), (_owner, Shelf, "key_view", 200)],
    ids=["admin", "owner"],
)
async def test_a_suspension_is_not_undone_by_an_older_row_when_redis_forgot_in_between(
    open_door: Open,
    monkeypatch: pytest.MonkeyPatch,
    act: Act,
    reader: type,
    call: str,
    status: int,
) -> None:
    read = getattr(reader, call)
    async with own_redis() as redis, open_door(REDIS_URL=redis.url) as door:
        one, ground = await premium(door), door.node.ground
        await door.spend(one["api_key"])

        async def slowly(self: Any, *words: Any) -> Any:
            """Between this row and its copy in Redis it is suspended, told and forgotten."""
            row = await read(self, *words)
            memory = ground.gate.memory
            newer = await ground.book.set_status(number(one), "suspended")
            assert isinstance(newer, BalanceRow)
            await ground.gate.put_balance(newer, memory)
            await ground.book.clear_outbox([newer])
            await killed_and_back(redis)

            async def trusted() -> bool:
                return ground.link.is_up and ground.link.is_trusted

            await until(trusted)
            return row

        monkeypatch.setattr(reader, call, slowly)
        assert (await act(door, one)).status == status
        await door.spend(one["api_key"], expected=402)


def test_every_copy_of_a_balance_names_the_memory_it_was_read_in() -> None:
    nameless = []
    for module in modules():
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            given = ast.unparse(node.func.value).endswith("gate") and len(node.args)
            wanted = ROWS_AND_MEMORY.get(node.func.attr)
            # Without rows there is nothing to copy.
            has_rows = node.func.attr != "settle" or ast.unparse(node.args[1]) != "()"
            if given and wanted is not None and has_rows and given < wanted:
                nameless.append(f"{module.shown}:{node.lineno}")
    assert nameless == []
