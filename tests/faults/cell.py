"""One cell of the matrix: 200 requests, one fault at one point, and what became of all of it.

1. Keys and an address that are the cell's own; each key is known to the gateways.
2. The ambush is laid; clients ask through both gateways. The fault begins on a request that is
   exactly at the point; the clients go on under it.
3. The fault ends when the clients have used up their share of it, but not before /ready has told.
4. Each kind of request is asked until it is answered again, and /ready until it says so; then the
   clients ask the rest, and who has named a request that failed asks until he has his answer.
5. At rest, the journal is compared with the ledger (`reckoning`).
"""

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import suppress

import orjson

from tests.crash.house import until
from tests.faults.crowd import HEALED_S, Cell, Crowd, Run
from tests.faults.house import LOW_RPM, PLACES, FaultHouse
from tests.faults.journal import Asked, Client, Entry, ready
from tests.faults.points import Ambush
from tests.faults.targets import Fault, Target
from tests.faults.topups import TopUps

# A fault lasts no longer than this once all that is to be seen of it was seen.
_FAULT_S = 1.2
_TOLD_S = 60.0
_POINT_S = 60.0
WIDE = {"rpm": 10**6, "tpm": 10**9, "concurrency": 10**4}


async def _prepare(house: FaultHouse, run: Run) -> None:
    """The cell's keys: known to Redis, and with limits of their own."""
    product = "deepsearch" if run.cell.streamed else "embeddings"
    run.keys = [await house.mint() for _ in range(3)]
    run.low = [await house.mint() for _ in range(2)]
    for key in run.keys:
        await house.book.set_limits(key.key_id, {product: WIDE})
    for key in run.low:
        await house.book.set_limits(key.key_id, {product: {**WIDE, "rpm": LOW_RPM}})
    run.address = (
        f"127.{random.randrange(1, 255)}.{random.randrange(255)}.{random.randrange(1, 255)}"
    )
    run.local_before = await house.local_decisions()
    run.first_arrival = len(house.services.arrivals)
    await asyncio.gather(*(_warm(house, run, place) for place in range(PLACES)))


async def _warm(house: FaultHouse, run: Run, place: int) -> None:
    client = Client(house.ports[place])
    for key in run.keys + run.low:
        entry = Entry(Asked(key.text, 10**6 + len(run.entries), run.cell.streamed), key.key_id)
        run.entries.append(entry)

        async def answered(entry: Entry = entry) -> bool:
            # A machine that is busy with others may let requests go.
            entry.seen.append(await client.ask(entry.asked))
            return entry.whole is not None

        await until(answered, _POINT_S)
    await client.hang_up()


async def _told(house: FaultHouse, run: Run) -> None:
    """Each gateway comes to say that it is degraded by this very store, and ready for all that."""

    async def degraded() -> bool:
        answers = [await ready(port) for port in house.ports]
        run.told = [f"{status} {body.decode()}" for status, body in answers]
        return all(
            status == 200 and orjson.loads(body).get("degraded") == [run.fault.shows_as]
            for status, body in answers
        )

    try:
        await until(degraded, _TOLD_S)
    except TimeoutError:
        raise AssertionError(f"/ready does not come to tell: {run.told}") from None


async def _last(house: FaultHouse, run: Run, crowd: Crowd) -> None:
    """Each kind of request, through each gateway, until it is answered again."""
    begun_s = time.monotonic()
    fresh = await house.mint()

    async def passes(place: int, number: int) -> None:
        address = f"127.0.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
        client = Client(house.ports[place], address)
        try:
            async with asyncio.timeout(HEALED_S):
                while True:
                    asked, key_id = crowd.ask_for(number, 0)
                    if number == 0:
                        asked, key_id = (
                            Asked(fresh.text, asked.tokens, asked.streamed),
                            fresh.key_id,
                        )
                    elif asked.key is None:
                        asked = Asked(None, asked.tokens, asked.streamed, address)
                    entry = Entry(asked, key_id)
                    run.entries.append(entry)
                    entry.seen.append(await client.ask(asked))
                    if entry.whole is not None:
                        return
                    await asyncio.sleep(0.1)
        finally:
            await client.hang_up()

    run.keys.append(fresh)
    await asyncio.gather(*(passes(place, n) for place in range(PLACES) for n in _kinds()))
    await house.all_ready()
    run.healed_s = time.monotonic() - begun_s


async def _insist(house: FaultHouse, run: Run) -> None:
    """Who gave his request a name and has no answer asks until he has it."""
    client = Client(house.ports[0])
    try:
        for entry in run.entries:
            if entry.asked.name is None or entry.whole is not None:
                continue

            async def answered(entry: Entry = entry) -> bool:
                entry.seen.append(await client.ask(entry.asked))
                return entry.whole is not None

            try:
                await until(answered, HEALED_S, 0.1)
            except TimeoutError:
                raise AssertionError(f"no answer under its name: {entry}") from None
    finally:
        await client.hang_up()


def _kinds() -> Iterator[int]:
    """A key that was never seen, one that is known, one with a cap, an address."""
    yield from (0, 1, 2, 8)


async def run_cell(house: FaultHouse, cell: Cell) -> Run:
    """All of it up to the reckoning."""
    run = Run(cell, Fault(house, cell.target, cell.manner))
    await _prepare(house, run)
    crowd = Crowd(house, run)
    ambush = Ambush(house, cell.point, run.fault.begin)
    topups = TopUps(house) if cell.target is Target.STRIPE_LINK else None
    if topups is not None:
        await topups.prepare()
    await run.fault.prepare()
    await ambush.lay()
    crowd.begin()
    try:
        await until(lambda: _is(ambush.place is not None or crowd.all_wait), _POINT_S)
        assert ambush.place is not None, f"the fault never met its point: {run.entries[-3:]}"
        run.place = ambush.place
        if topups is not None:
            await topups.under_fault()
        if run.fault.shows:
            await _told(house, run)
        with suppress(TimeoutError):
            await until(lambda: _is(crowd.all_wait), _FAULT_S)
        ambush.lift()
        await run.fault.end()
        await _last(house, run, crowd)
        await crowd.end()
        await _insist(house, run)
        if topups is not None:
            await topups.afterwards()
    except BaseException:
        await crowd.cancel()
        raise
    return run


async def _is(so: bool) -> bool:
    return so
