"""A request that has not ended is told to its owner by its hold, and to nobody else."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from tests.control.conftest import Open
from tests.control.rig import until


async def test_a_request_that_runs_is_shown_to_its_owner_with_what_it_holds(
    open_door: Open,
) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        ids.append(head.partition("x-request-id: ")[2].partition("\r\n")[0])
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-usage-tokens: 5\r\n\r\nok")
        writer.close()

    async def seen() -> bool:
        return bool(ids)

    go, ids = asyncio.Event(), list[str]()
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, open_door(SERVICE_READER_URL=url) as door:
        key, other = [(await door.mint())["api_key"] for _ in range(2)]
        running = asyncio.create_task(door.spend(key))
        await until(seen)
        path = f"/v1/requests/{ids[0]}"
        # A reload changes what the product says, not when the request came.
        offer = door.node.ground.catalogue
        reader = offer.products["reader"]
        longer = replace(reader, deadline_ms=reader.deadline_ms + 3_600_000)
        offer.take(replace(offer.now, products={**offer.products, "reader": longer}), "longer")
        shown = (await door.ask("GET", path, bearer=key)).json()
        age = datetime.now(UTC) - datetime.fromisoformat(shown.pop("admitted_at"))
        assert 0 <= age.total_seconds() < 120
        assert shown.pop("held") > 5
        assert shown == {"request_id": ids[0], "product": "reader", "state": "running"}
        assert (await door.ask("GET", path, bearer=other)).status == 404
        go.set()
        await running
        ended = (await door.ask("GET", path, bearer=key)).json()
        assert (ended["charged"], ended["outcome"]) == (5, "complete")
