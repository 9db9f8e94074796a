"""All orders of five events, each once, twice or three times, on one database.

Each event brings what Stripe said when it happened: often older than what is known already.
"""

import asyncio
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from gateway.billing.facts import Dispute, Facts, Payment, Refund, decode, merge, standing
from gateway.billing.packs import Pack
from gateway.billing.till import Settled, Till, Wanted
from gateway.edge.request_ids import new_request_id
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow

TOKENS: Final = 1_000_003
PRICE: Final = 500
OWED: Final = 300_000
PACK: Final = Pack("p", "p", TOKENS, {"usd": PRICE})
REPETITIONS: Final = (1, 2, 3)
_ASKED_AND_PAID: Final = Facts(Payment.PAID, PRICE)
# What is known after each of the five; a look at the second does not know of the third.
WON: Final = (
    Facts(Payment.PENDING),
    _ASKED_AND_PAID,
    Facts(Payment.PAID, PRICE, refunds={"re_1": (123, Refund.PENDING)}),
    Facts(Payment.PAID, PRICE, "", {"re_1": (123, Refund.SETTLED)}, {"du_1": (377, Dispute.OPEN)}),
    Facts(Payment.PAID, PRICE, "", {"re_1": (123, Refund.SETTLED)}, {"du_1": (377, Dispute.WON)}),
)
LOST: Final = (
    *WON[:4],
    Facts(Payment.PAID, PRICE, "", {"re_1": (123, Refund.SETTLED)}, {"du_1": (377, Dispute.LOST)}),
)
# A refund that came back, and one after it.
REFUNDS: Final = (
    _ASKED_AND_PAID,
    Facts(Payment.PAID, PRICE, refunds={"re_1": (200, Refund.SETTLED)}),
    Facts(Payment.PAID, PRICE, refunds={"re_1": (200, Refund.FAILED)}),
    Facts(
        Payment.PAID,
        PRICE,
        refunds={"re_1": (200, Refund.FAILED), "re_2": (100, Refund.PENDING)},
    ),
    Facts(
        Payment.PAID,
        PRICE,
        refunds={"re_1": (200, Refund.FAILED), "re_2": (100, Refund.SETTLED)},
    ),
)


@dataclass(frozen=True)
class Ended:
    """How a key stands once all events of a run came."""

    trial: int
    paid: int
    status: str
    tier: str
    debt: int
    state: str


def plans() -> list[tuple[tuple[int, ...], int]]:
    """360: each order of five events, each event once, twice or three times."""
    return list(itertools.product(itertools.permutations(range(5)), REPETITIONS))


async def run(
    till: Till, book: Book, story: Sequence[Facts], plan: tuple[tuple[int, ...], int]
) -> Ended:
    """One run on a fresh key that owes something from before."""
    order, repetitions = plan
    key_id = await fresh_key(book)
    await _owing(till, key_id)
    order_id = await fresh_order(till, key_id)
    for place in order:
        for _ in range(repetitions):
            await apply(till, order_id, story[place])
    found, ended = await book.load_balance(key_id), await till.order(order_id)
    assert found is not None
    assert ended is not None
    debt = await till.debt(key_id)
    return Ended(found.trial, found.paid, found.status, found.tier, debt, ended.state)


async def run_all(
    till: Till, book: Book, story: Sequence[Facts], some: Sequence[tuple[tuple[int, ...], int]]
) -> set[Ended]:
    """All the different ends of these runs, eight at a time."""
    gate = asyncio.Semaphore(8)

    async def one(plan: tuple[tuple[int, ...], int]) -> Ended:
        async with gate:
            return await run(till, book, story, plan)

    return set(await asyncio.gather(*map(one, some)))


async def apply(till: Till, order_id: str, told: Facts) -> None:
    """What a look that saw this does."""
    while True:
        order = await till.order(order_id)
        assert order is not None
        facts = merge(decode(order.facts), told)
        settled = Settled(
            facts, standing(facts, asked=True), None, f"pi_{order_id}", "cus_1", None, None
        )
        if await till.settle(order, settled) is not None:
            return


async def _owing(till: Till, key_id: int) -> None:
    """An order from before whose tokens were spent elsewhere: the key owes a part of them."""
    order_id = await fresh_order(till, key_id, Pack("o", "o", OWED, {"usd": 100}))
    await apply(till, order_id, Facts(Payment.PAID, 100))
    await spend(till, key_id)
    await apply(till, order_id, Facts(Payment.PAID, 100, refunds={"re_0": (100, Refund.SETTLED)}))


async def spend(till: Till, key_id: int) -> None:
    """Use all that the key has."""
    postgres = till._postgres
    row = await postgres.row("select trial + paid as tokens from balance where key_id = $1", key_id)
    assert row is not None
    request_id = new_request_id()
    ms = UUID(request_id).int >> 80
    event = [request_id, "charge", key_id, "embeddings", row["tokens"], None, 0, "complete"]
    event += ["reported", 200, _key_id(), ms, ms, "tests"]
    text = str(event).replace("'", '"').replace("None", "null")
    await postgres.rows("select * from post_outcomes($1::text::jsonb)", f"[{text}]")


async def fresh_key(book: Book) -> int:
    """A key with a little to try."""
    row = await book.mint(_key_id(), os.urandom(32), "abcd", None, 100, 0)
    assert isinstance(row, BalanceRow)
    return row.key_id


async def fresh_order(till: Till, key_id: int, pack: Pack = PACK) -> str:
    """An order that awaits its payment."""
    order_id = new_request_id()
    wanted = Wanted(order_id, key_id, order_id, b"", pack, "usd", False, {"save": False})
    assert await till.begin(wanted, 7_200, 20) == "NEW"
    await till.note_session(order_id, f"cs_{order_id}", "http://pay.example/")
    return order_id


def _key_id() -> int:
    return int.from_bytes(os.urandom(7), "big") + 1
