"""What a request must have cost in every place where that can be seen."""

from dataclasses import dataclass

from gateway.ledger.rows import RequestRow
from tests.edge.client import Reply
from tests.edge.door import TRIAL, Door, Key

BODY = b'{"model": "m", "input": ["one two three"]}'


@dataclass(frozen=True)
class Cost:
    """How a request ended. `tpm` None: the product has no token limit."""

    outcome: str
    charged: int = 0
    tpm: int | None = 0
    reported: int | None = None
    rule: str | None = None
    status: int | None = None


async def paid(
    door: Door, key: Key, request_id: str, cost: Cost, product: str = "embeddings"
) -> RequestRow:
    """The only request of a new key: its row, the balance, both windows, and nothing held."""
    standing = await door.at_rest(key.subject, product)
    row = await door.row(key, request_id)
    assert row is not None, "no outcome in the ledger"
    assert (row.outcome, row.cost_tokens) == (cost.outcome, cost.charged)
    assert row.product == product
    assert row.reported_tokens == cost.reported
    assert row.shortfall == 0
    if cost.rule is not None:
        assert row.rule == cost.rule
    if cost.status is not None:
        assert row.http_status == cost.status
    assert await door.balance(key) == TRIAL - cost.charged
    left = standing.products[product]
    assert left.limit_requests - left.remaining_requests == 1, "counts as one request"
    if left.limit_tokens is None:
        assert cost.tpm is None
    else:
        assert left.limit_tokens - left.remaining_tokens == cost.tpm
    assert standing.trial + standing.paid == TRIAL - cost.charged, "Redis' copy"
    assert [each.request_id for each in await door.rows(key)] == [request_id], "ended once"
    return row


async def embed(door: Door, key: Key, body: bytes = BODY, **headers: str) -> Reply:
    """One request to /v1/embeddings."""
    lines = [("content-type", "application/json"), *headers.items()]
    return await door.ask("POST", "/v1/embeddings", key=key, body=body, headers=lines)
