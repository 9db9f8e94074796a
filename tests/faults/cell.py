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
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from tests.crash.house import Key, until
from tests.faults.house import LOW_RPM, PLACES, FaultHouse
from tests.faults.journal import Asked, Client, Entry, ready
from tests.faults.points import Ambush, Point
from tests.faults.targets import MANNERS, Fault, Manner, Target
from tests.faults.topups import TopUps

CLIENTS = 10
REQUESTS = 20
# Until here each client asks without waiting for the end of the fault.
_BEFORE_HEALED = 13
# A fault lasts no longer than this once all that is to be seen of it was seen.
_FAULT_S = 1.2
_TOLD_S = 60.0
HEALED_S = 60.0
_POINT_S = 60.0
WIDE = {"rpm": 10**6, "tpm": 10**9, "concurrency": 10**4}
CAP = 1_000_000


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in the matrix."""

    target: Target
    point: Point
    streamed: bool

    @property
    def manner(self) -> Manner:
        """In rotation, so that each target meets each of its manners."""
        manners = MANNERS[self.target]
        number = list(Point).index(self.point) + 3 * self.streamed
        return manners[(number + self.streamed * (len(manners) == 3)) % len(manners)]

    @property
    def name(self) -> str:
        kind = "streamed" if self.streamed else "whole"
        return f"{self.target.value} {self.manner.value}, {self.point.value}, {kind}"


@dataclass
class Run:
    """What a cell has gathered."""

    cell: Cell
    fault: Fault
    keys: list[Key] = field(default_factory=list)
    low: list[Key] = field(default_factory=list)
    address: str = ""
    entries: list[Entry] = field(default_factory=list)
    place: int | None = None
    told: list[str] = field(default_factory=list)
    healed_s: float = 0.0
    first_arrival: int = 0
    local_before: int = 0
    after: list[Entry] = field(default_factory=list)


class Crowd:
    """The clients of one cell."""

    def __init__(self, house: FaultHouse, run: Run) -> None:
        self._house = house
        self._run = run
        self._prices = iter(range(1, 10**6))
        self._mark = os.urandom(4).hex()
        self.healed = asyncio.Event()
        self.waiting = 0
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """All of them."""
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]

    @property
    def all_wait(self) -> bool:
        """Whether each has used up its share of the fault."""
        return self.waiting == CLIENTS or all(task.done() for task in self._tasks)

    async def end(self) -> None:
        """Until all is asked; then what has a name and no answer is asked for once more."""
        self.healed.set()
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        """Nobody asks any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def ask_for(self, number: int, count: int) -> tuple[Asked, int | None]:
        """What the client of this number asks for the n-th time.

        Six have keys that nothing limits, of whom two cap each charge and two name each request;
        two have a key with a low limit; two are anonymous.
        """
        run, price = self._run, next(self._prices)
        streamed = run.cell.streamed
        if number >= 8:
            return Asked(None, price, streamed, run.address), None
        key = run.keys[number % len(run.keys)] if number < 6 else run.low[number - 6]
        name = f"{self._mark}-{number}-{count}" if number in (4, 5) else None
        cap = CAP if number in (2, 3) else None
        return Asked(key.text, price, streamed, cap=cap, name=name), key.key_id

    async def _client(self, number: int) -> None:
        run, ports = self._run, self._house.ports
        client = Client(ports[number % PLACES], run.address if number >= 8 else "127.0.0.1")
        try:
            for count in range(REQUESTS):
                if count == _BEFORE_HEALED:
                    self.waiting += 1
                    await self.healed.wait()
                asked, key_id = self.ask_for(number, count)
                entry = Entry(asked, key_id)
                run.entries.append(entry)
                if self.healed.is_set():
                    run.after.append(entry)
                seen = await client.ask(asked)
                entry.seen.append(seen)
                if seen.status not in (200, 429):
                    await asyncio.sleep(0.02)
                    if asked.name is not None:
                        # As one who wants it once: again, under the same name.
                        entry.seen.append(await client.ask(asked))
        finally:
            await client.hang_up()


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

            await until(answered, HEALED_S, 0.1)
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
