"""What an owner sees of his key: balance, limits, usage, single requests; always his last reply."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.keys.format import parse_key_id
from tests.control.conftest import Open
from tests.control.rig import COST_TOKENS, Door, until
from tests.ledger.events import batch, charge, request_id

GRANT = 10_000_000


async def test_me_answers_the_published_shape(door: Door) -> None:
    minted = await door.mint()
    key = minted["api_key"]
    shown = await door.me(key)
    assert shown["key_id"] == minted["key_id"]
    assert (shown["tier"], shown["status"]) == ("key", "active")
    assert shown["last_characters"] == key[-4:]
    assert shown["balance"] == {"trial": GRANT, "paid": 0, "held": 0, "total": GRANT}
    age = datetime.now(UTC) - datetime.fromisoformat(shown["created_at"])
    assert abs(age.total_seconds()) < 120
    assert set(shown["limits"]) == set(door.node.ground.catalogue.products)
    assert shown["limits"]["reader"] == {
        "rpm": 500,
        "concurrency": 500,
        "remaining_requests": 500,
        "reset_requests_s": 0,
    }
    assert shown["limits"]["embeddings"] == {
        "rpm": 500,
        "tpm": 1_000_000,
        "concurrency": 500,
        "remaining_requests": 500,
        "reset_requests_s": 0,
        "remaining_tokens": 1_000_000,
        "reset_tokens_s": 0,
    }


async def test_remaining_and_reset_follow_each_request(door: Door) -> None:
    key = (await door.mint())["api_key"]
    for used in (1, 2, 3):
        told = await door.spend(key)
        reader = (await door.me(key))["limits"]["reader"]
        assert reader["remaining_requests"] == 500 - used
        assert int(told["x-ratelimit-remaining-requests"]) == 500 - used
        assert 30 <= reader["reset_requests_s"] <= 60


async def test_balance_read_after_a_reply_has_its_charge_every_time(open_door: Open) -> None:
    # So slow a shipper that nobody sees his charge by luck.
    async with open_door(SHIP_INTERVAL_MS="150") as door:
        key = (await door.mint())["api_key"]
        for spent in range(1, 11):
            await door.spend(key)
            assert (await door.me(key))["balance"] == {
                "trial": GRANT - spent * COST_TOKENS,
                "paid": 0,
                "held": 0,
                "total": GRANT - spent * COST_TOKENS,
            }


async def test_a_refused_request_in_between_hides_no_charge(open_door: Open) -> None:
    async with open_door(SHIP_INTERVAL_MS="150") as door:
        minted = await door.mint()
        path = f"/admin/keys/{minted['key_id']}/limits"
        await door.ops("PUT", path, document={"reader": {"rpm": 2}})
        for _ in range(2):
            await door.spend(minted["api_key"])
        # This one tells Redis that the two have ended, and is itself refused.
        await door.spend(minted["api_key"], expected=429)
        balance = (await door.me(minted["api_key"]))["balance"]
        assert balance["total"] == GRANT - 2 * COST_TOKENS


async def test_balance_read_at_another_gateway_has_the_charge_too(open_door: Open) -> None:
    async with open_door(SHIP_INTERVAL_MS="150") as here, open_door() as there:
        key = (await here.mint())["api_key"]
        for spent in range(1, 9):
            await here.spend(key)
            assert (await there.me(key))["balance"]["total"] == GRANT - spent * COST_TOKENS
            told = await there.ask("GET", "/v1/keys/me/usage?recent=50", bearer=key)
            assert len(told.json()["items"]) == spent


async def test_limits_of_a_premium_key_with_own_limits_are_right_before_its_first_request(
    door: Door,
) -> None:
    minted = await door.mint()
    path = f"/admin/keys/{minted['key_id']}"
    await door.ops("POST", f"{path}/credit", document={"tokens": 1, "bucket": "paid", "ref": "a"})
    await door.ops("PUT", f"{path}/limits", document={"rerank": {"rpm": 9, "tpm": 77}})
    await door.node.ground.link.call(None, "FLUSHALL")
    limits = (await door.me(minted["api_key"]))["limits"]
    assert limits["reader"]["remaining_requests"] == limits["reader"]["rpm"] == 5_000
    assert limits["rerank"]["remaining_requests"] == limits["rerank"]["rpm"] == 9
    assert limits["rerank"]["remaining_tokens"] == limits["rerank"]["tpm"] == 77


async def test_usage_groups_by_day_product_or_both(door: Door) -> None:
    key = (await door.mint())["api_key"]
    for _ in range(3):
        await door.spend(key)
    told = await door.ask("POST", "/v1/segment", bearer=key, document={"content": "some words"})
    assert told.status == 200, told
    today = datetime.now(UTC).date().isoformat()
    read, free = 3 * COST_TOKENS, {"product": "segment", "requests": 1, "tokens": 0}
    reader = {"product": "reader", "requests": 3, "tokens": read}

    async def usage(query: str) -> Any:
        return (await door.ask("GET", f"/v1/keys/me/usage{query}", bearer=key)).json()["items"]

    both = [{"day": today, **reader}, {"day": today, **free}]
    assert await usage("") == await usage("?days=30&by=day,product") == both
    assert await usage("?by=product") == [reader, free]
    assert await usage("?days=1&by=day") == [{"day": today, "requests": 4, "tokens": read}]
    assert await usage("?by=") == [{"requests": 4, "tokens": read}]
    recent = await usage("?recent=2")
    assert [item["product"] for item in recent] == ["segment", "reader"]
    assert [item["tokens"] for item in recent] == [0, COST_TOKENS]
    assert {item["outcome"] for item in recent} == {"complete"}


async def test_a_request_shows_how_it_was_admitted_and_charged(door: Door) -> None:
    key = (await door.mint())["api_key"]
    reply = await door.spend(key)
    told = await door.ask("GET", f"/v1/requests/{reply['x-request-id']}", bearer=key)
    assert told.status == 200
    shown = told.json()
    assert shown["request_id"] == reply["x-request-id"]
    assert shown["product"] == "reader"
    assert shown["held"] > 0
    assert shown["reported"] == shown["charged"] == COST_TOKENS
    assert shown["from"] == {"trial": COST_TOKENS, "paid": 0}
    assert shown["rule"] == reply["x-usage-rule"]
    assert shown["http_status"] == 200


async def test_a_request_that_took_all_there_was_says_what_was_charged_everywhere(
    door: Door,
) -> None:
    told = await door.ops("POST", "/admin/keys", document={"trial_tokens": 3_000})
    minted = told.json()
    key, number = minted["api_key"], parse_key_id(minted["key_id"])
    assert number is not None
    request = request_id(1)
    (row,) = await door.node.ground.book.post_outcomes(batch(charge(request, number, 3_031)))
    assert (row.trial, row.paid) == (0, 0)
    shown = (await door.ask("GET", f"/v1/requests/{request}", bearer=key)).json()
    assert (shown["charged"], shown["shortfall"], shown["tokens"]) == (3_000, 31, 3_031)
    usage = (await door.ask("GET", "/v1/keys/me/usage?by=", bearer=key)).json()
    assert usage["items"] == [{"requests": 1, "tokens": 3_000}]
    export = await door.ask("GET", "/v1/keys/me/usage/export?format=jsonl", bearer=key)
    # Its only chunk, without the length before it.
    assert orjson.loads(export.body.splitlines()[1])["tokens"] == 3_000


async def test_a_request_is_shown_to_its_owner_alone(door: Door) -> None:
    mine, other = [(await door.mint())["api_key"] for _ in range(2)]
    request_id = (await door.spend(mine))["x-request-id"]
    anonymous = await door.ask("GET", "/https://example.com/", host="r.localhost")
    assert anonymous.status == 200
    for key, wanted in (
        (other, request_id),
        (other, anonymous["x-request-id"]),
        (mine, "01930000-0000-7000-8000-000000000000"),
        (mine, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
        (mine, "x"),
        (mine, "%00"),
        (mine, "%ff%fe"),
        (mine, "%0d%0aset-cookie:%20a=b"),
        (mine, request_id + "0"),
    ):
        told = await door.ask("GET", f"/v1/requests/{wanted}", bearer=key)
        assert told.status == 404, wanted
        assert told.json()["code"] == "RESOURCE_NOT_FOUND"
        assert not told.has("set-cookie")
    assert (await door.ask("GET", f"/v1/requests/{request_id}")).status == 401


async def test_an_unknown_request_costs_two_queries_not_a_wait(door: Door) -> None:
    key = (await door.mint())["api_key"]
    await door.me(key)
    loop, before, took_s = asyncio.get_running_loop(), door.node.ground.postgres.queries, []
    for n in range(10):
        begun_s = loop.time()
        told = await door.ask("GET", f"/v1/requests/01930000-0000-7000-8000-{n:012}", bearer=key)
        assert told.status == 404
        took_s.append(loop.time() - begun_s)
    # Beside the two: whether the key is revoked, and what runs by the clock, as the shipper's beat.
    by_the_clock = 2 + 3 * int(sum(took_s))
    assert door.node.ground.postgres.queries - before <= 10 * 3 + by_the_clock
    # Who waits for an outcome that is on its way waits longer, each time.
    assert min(took_s) < 0.4


async def test_held_tokens_are_shown_while_a_request_runs_and_make_nobody_wait_long(
    open_door: Open,
) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await go.wait()
        answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-usage-tokens: 5\r\n\r\nok"
        writer.write(answer)
        writer.close()

    go = asyncio.Event()
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_door(SERVICE_READER_URL=url) as door:
        key = (await door.mint())["api_key"]
        running = asyncio.create_task(door.spend(key))

        async def held() -> Any:
            return (await door.me(key))["balance"]["held"]

        assert await until(held) > 0
        begun_s = asyncio.get_running_loop().time()
        shown = await door.me(key)
        # Not until the request ends: that it does only below.
        assert asyncio.get_running_loop().time() - begun_s > 0.4
        assert shown["balance"]["total"] == GRANT
        go.set()
        await running
        assert (await door.me(key))["balance"] == {
            "trial": GRANT - 5,
            "paid": 0,
            "held": 0,
            "total": GRANT - 5,
        }


async def test_index_of_r_and_s_shows_the_balance(door: Door) -> None:
    minted = await door.mint()
    await door.spend(minted["api_key"])
    for host in ("r.localhost", "s.localhost"):
        text = (await door.ask("GET", "/", host=host, bearer=minted["api_key"])).text
        assert f"[Balance Left] {GRANT - COST_TOKENS}\n" in text
        assert f"[Authenticated As] {minted['key_id']}\n" in text
        told = await door.ask(
            "GET",
            "/",
            host=host,
            bearer=minted["api_key"],
            headers={"Accept": "application/json"},
        )
        assert told.json()["data"]["balanceLeft"] == GRANT - COST_TOKENS
        assert "Balance" not in (await door.ask("GET", "/", host=host)).text
        assert (await door.ask("GET", "/", host=host, bearer="sluice_x")).status == 401
