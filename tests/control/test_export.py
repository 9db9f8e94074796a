"""The usage export and the digests, over the front door and the operations listener."""

import csv
import gc
import io
import tracemalloc
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
import pytest

from gateway.keys.format import parse_key_id
from gateway.ledger.digests import FIELDS
from gateway.ledger.export_form import decode, read_closed_days, read_key_days
from gateway.ledger.verify import verify
from tests.control.rig import COST_TOKENS, Door

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


async def _yesterday(database: str) -> None:
    """All that was posted so far was posted yesterday, which is closed."""
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("set session_replication_role = replica")
        await line.execute("update outcome set posted_at = posted_at - interval '24 hours'")
        await line.execute("update transfer set posted_at = posted_at - interval '24 hours'")
        await line.execute("update api_key set created_at = created_at - interval '24 hours'")
        await line.execute("set session_replication_role = origin")
        await line.execute("select close_day($1)", YESTERDAY)
    finally:
        await line.close()


@pytest.mark.parametrize("form", ["csv", "jsonl"])
async def test_owner_downloads_his_export_and_proves_it(
    door: Door, database: str, form: str
) -> None:
    minted = await door.mint()
    key = minted["api_key"]
    spent = [await door.spend(key) for _ in range(3)]
    await door.me(key)
    await _yesterday(database)
    spent.append(await door.spend(key))
    told = await door.ask("GET", f"/v1/keys/me/usage/export?format={form}", bearer=key)
    assert told.status == 200
    assert f"usage-{minted['key_id']}.{form}" in told["content-disposition"]
    lines = list(decode(_unchunked(told.body).decode().splitlines(keepends=True)))
    rows = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in lines]
    assert [row["request_id"] for row in rows] == [each["x-request-id"] for each in spent]
    assert {row["tokens"] for row in rows} == {str(COST_TOKENS)}
    assert all(row["posted_at"].endswith("Z") for row in rows)
    days = await door.ask("GET", "/v1/keys/me/usage/days", bearer=key)
    published = await door.ask("GET", "/v1/closed-days")
    key_id, key_days = read_key_days(days.body)
    assert key_id == minted["key_id"]
    number = parse_key_id(key_id)
    assert number is not None
    verdict = verify(number, lines, key_days, read_closed_days(published.body))
    assert (verdict.differences, verdict.days, verdict.lines_not_closed) == ([], 1, 1)
    today = await door.ask(
        "GET", f"/v1/keys/me/usage/export?format={form}&from={datetime.now(UTC).date()}", bearer=key
    )
    assert len(list(decode(_unchunked(today.body).decode().splitlines(keepends=True)))) == 1


def _unchunked(body: bytes) -> bytes:
    """`plain_http` gives what came on the wire."""
    found = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        found, body = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        if int(size, 16) == 0:
            return found
    raise AssertionError("the last chunk is missing")


async def test_operator_exports_any_key_also_a_revoked_one(door: Door) -> None:
    minted = await door.mint()
    await door.spend(minted["api_key"])
    await door.me(minted["api_key"])
    assert (await door.ask("DELETE", "/v1/keys/me", bearer=minted["api_key"])).status == 200
    path = f"/admin/keys/{minted['key_id']}/usage"
    told = await door.ops("GET", f"{path}/export")
    rows = list(csv.DictReader(io.StringIO(_unchunked(told.body).decode())))
    assert [(row["kind"], row["tokens"]) for row in rows] == [("charge", str(COST_TOKENS))]
    days = (await door.ops("GET", f"{path}/days")).json()
    assert days == {"key_id": minted["key_id"], "items": []}
    assert (await door.ops("GET", "/admin/closed-days")).json() == {"items": []}
    assert (await door.ops("GET", f"{path}/export", token=None)).status == 401
    assert (await door.ops("GET", "/admin/keys/key_00000000001/usage/export")).status == 404
    assert (await door.ops("GET", "/admin/keys/nobody/usage/days")).status == 400


@pytest.mark.parametrize(
    "query",
    [
        "format=xml",
        "from=yesterday",
        "from=2026-13-01",
        "to=20261120",
        "from=2026-02-02&to=2026-02-01",
        "from=-0001-01-01",
    ],
)
async def test_query_that_makes_no_sense_is_refused(door: Door, query: str) -> None:
    key = (await door.mint())["api_key"]
    told = await door.ask("GET", f"/v1/keys/me/usage/export?{query}", bearer=key)
    assert told.status == 422
    assert orjson.loads(told.body)


async def test_digests_of_more_than_a_year_at_once_are_refused(door: Door) -> None:
    told = await door.ask("GET", "/v1/closed-days?from=2020-01-01&to=2026-01-01")
    assert told.status == 422


async def test_export_without_a_key_is_401_and_of_nobody_else(door: Door) -> None:
    assert (await door.ask("GET", "/v1/keys/me/usage/export")).status == 401
    spender, other = await door.mint(), await door.mint()
    await door.spend(spender["api_key"])
    await door.me(spender["api_key"])
    told = await door.ask("GET", "/v1/keys/me/usage/export", bearer=other["api_key"])
    assert _unchunked(told.body).decode().strip() == ",".join(FIELDS)


async def test_export_of_many_lines_is_read_page_by_page(door: Door, database: str) -> None:
    """50,000 lines, some 8 MB: what is in memory at once stays below a part of that."""
    minted = await door.mint()
    number = parse_key_id(minted["key_id"])
    line = await asyncpg.connect(database, ssl=False)
    try:
        await line.execute("set session_replication_role = replica")
        await line.execute(_MANY, number)
        await line.execute("update key_balance set seq = 50001 where key_id = $1", number)
    finally:
        await line.close()
    assert number is not None
    gc.collect()
    tracemalloc.start()
    try:
        count = size = 0
        first, last = YESTERDAY.replace(year=2020), YESTERDAY + timedelta(days=2)
        async for page in door.node.ground.shelf.exports.pages(number, first, last):
            count, size = count + len(page), size + sum(map(len, page))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < size / 2


_MANY = """
insert into outcome (request_id, month, kind, key_id, product, cost_tokens, from_trial, seq,
    trial_after, paid_after, held_tokens, outcome, rule, http_status, admission_no, admitted_ms,
    decided_ms, instance)
select r, outcome_month(r), 'charge', $1, 'reader', 1, 1, n + 1, 9, 0, 1, 'complete', 'reported',
    200, n, 1, 1, 'i'
from (select n, overlay(lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0')
    || '7000' || '8000' || lpad(to_hex(n), 12, '0') placing '' from 1 for 0)::uuid as r
    from generate_series(1, 50000) n) made
"""
