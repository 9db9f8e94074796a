"""The clients of a cell, and what it gathers."""

import asyncio
import os
from dataclasses import dataclass, field

from tests.crash.house import Key
from tests.faults.house import PLACES, FaultHouse
from tests.faults.journal import Asked, Client, Entry
from tests.faults.points import Point
from tests.faults.targets import MANNERS, Fault, Manner, Target

CLIENTS = 10
REQUESTS = 20
# Until here each client asks without waiting for the end of the fault.
_BEFORE_HEALED = 13
HEALED_S = 60.0
# A machine that is busy with others lets requests go, or finds Redis late, also without a fault.
_TRIES = 50
_PAUSE_S = 0.1
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
                    await self._again(client, entry)
        finally:
            await client.hang_up()

    async def _again(self, client: Client, entry: Entry) -> None:
        """Who has named it asks once more; behind the fault everybody does, for a while."""
        tries = _TRIES if self.healed.is_set() else int(entry.asked.name is not None)
        for _ in range(tries):
            entry.seen.append(await client.ask(entry.asked))
            if entry.seen[-1].status in (200, 429):
                return
            await asyncio.sleep(_PAUSE_S)
