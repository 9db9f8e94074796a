"""What a request must have cost in every place where that can be seen."""

from dataclasses import dataclass

from gateway.ledger.rows import RequestRow
from tests.edge.client import Reply, head
from tests.edge.door import API, TRIAL, Door, Key, until
from tests.edge.stub import Script, Stub

# How long after a client's leaving its service may still be kept busy, on a busy machine.
AT_ONCE_S = 15.0
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


def told(reply: Reply) -> int:
    """What the client was told of the price: in the head, or behind a body that was streamed."""
    return int(reply.get("x-usage-tokens") or dict(reply.trailers)["x-usage-tokens"])


async def charged(
    door: Door, key: Key, stub: Stub, script: Script, cost: int, rule: str = "reported"
) -> Reply:
    """One complete request that must cost this."""
    stub.script = script
    reply = await embed(door, key)
    assert (reply.status, reply.whole) == (200, True)
    assert told(reply) == cost
    await paid(door, key, reply.request_id, Cost("complete", cost, cost, cost, rule, 200))
    return reply


async def free(
    door: Door, key: Key, stub: Stub, script: Script, outcome: str, status: int
) -> Reply:
    """One admitted request that must cost nothing, but counts as a request."""
    stub.script = script
    reply = await embed(door, key)
    assert reply.status == status
    assert reply["x-usage-tokens"] == "0"
    assert len(stub.turns) == 1
    row = await paid(door, key, reply.request_id, Cost(outcome, status=status))
    assert row.http_status == status
    return reply


def request(key: Key | None, *, body: bytes = BODY, host: str = API, target: str = "") -> bytes:
    """A request to /v1/embeddings, or to another target."""
    target = target or "/v1/embeddings"
    lines = [("host", host), ("content-length", str(len(body)))]
    if key is not None:
        lines.append(key.bearer)
    return head("POST", target, lines) + body


async def only_row(door: Door, key: Key) -> RequestRow:
    """The one outcome of a key's only request, with nothing left held."""

    async def ended() -> bool:
        return bool(await door.rows(key))

    await until(ended)
    await door.at_rest(key.subject)
    (row,) = await door.rows(key)
    return row
