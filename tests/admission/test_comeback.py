"""What is let in without Redis while it is brought up to date is known to it before it decides."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from typing import cast

import pytest

from gateway.admission import comeback as module
from gateway.admission.alone import Alone
from gateway.admission.ask import Ask, Code, Hold
from gateway.admission.comeback import Comeback
from gateway.admission.gate import Gate
from gateway.admission.local import Own
from gateway.admission.reserves import Reserves
from gateway.admission.roll import Roll
from gateway.admission.unposted import Unposted
from gateway.edge.deciding import Decider
from gateway.edge.identify import Subject
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.wire import redis_command
from gateway.errors import RedisUnavailable
from gateway.ledger.book import Book
from gateway.ledger.rows import BalanceRow
from gateway.metering.meter import Meter, Passage
from gateway.redis_link import RedisLink
from tests.admission.asking import Asker, hold_of, row
from tests.admission.test_link import link, server, until_it_answers
from tests.crash.house import until

__all__ = ["link", "server"]


class Running:
    """The requests of a process that Redis is to be told of."""

    def __init__(self) -> None:
        self.holds: list[Hold] = []
        self.unposted = Unposted()

    def untold_holds(self) -> list[Hold]:
        return list(self.holds)

    def told(self, holds: Sequence[Hold]) -> None:
        for hold in holds:
            self.holds.remove(hold)


class House:
    """A process whose Redis was away: `meanwhile` is called while the ledger's outbox is read."""

    def __init__(self, link: RedisLink) -> None:
        self.link = link
        self.gate = Gate(link)
        self.reserves = Reserves(link)
        self.running = Running()
        self.meanwhile: Callable[[], None] = lambda: None
        self.changed: list[BalanceRow] = []

    def comeback(self) -> Comeback:
        async def outbox(most: int) -> list[BalanceRow]:
            self.meanwhile()
            return self.changed[:most]

        async def one(_: int) -> int:
            return 1

        roll = Roll(one, 1, asyncio.get_running_loop().time)
        return Comeback(self.link, self.gate, roll, self.running, outbox)


@pytest.fixture
async def house(server: RedisServer, link: RedisLink) -> House:
    made = House(link)
    await link.open()
    return made


async def test_who_is_let_in_alone_while_it_is_told_of_the_others_is_told_as_well(
    house: House,
) -> None:
    await house.gate.put_balance(row(1, trial=100))
    asker = Asker("k:1")
    before, late = asker.ask(hold_tokens=30), asker.ask(hold_tokens=50)
    house.running.holds.append(hold_of(before, 30))
    house.meanwhile = lambda: house.running.holds.append(hold_of(late, 50))
    assert await house.comeback().run_once() == 1
    assert house.link.is_trusted
    assert await house.gate.holds("k:1") == (80, 2)
    assert (await house.gate.admit(asker.ask(hold_tokens=50))).code is Code.BALANCE_TOO_LOW


async def test_who_is_decided_alone_at_the_moment_of_trust_is_told_at_once(house: House) -> None:
    """The row was asked for while Redis was doubted, and came when it was trusted."""
    await house.gate.put_balance(row(1, trial=100))
    comeback = house.comeback()
    asker = Asker("k:1")

    class Late:
        async def admit(self, ask: Ask) -> object:
            await comeback.run_once()
            found = house.gate.local.admit(ask, row(1, trial=100), Own(), 1, 0)
            assert found.code is Code.ADMITTED
            return found

    class Numbers:
        def hold_of(self, passage: Passage) -> Hold:
            return hold_of(ask, passage.held_tokens)

    ask = asker.ask(hold_tokens=60)
    passage = Passage(
        ask.request_id, ask.product, "k:1", ask.tag, 1, 1, 60, None, 0, 0.0, ask.deadline_ms
    )
    decider = Decider(house.gate, cast(Alone, Late()), cast(Book, None), cast(Meter, Numbers()))
    found = await decider.decide(Subject("k:1", ask.tag, 1), ask, passage)
    assert found.degraded
    assert (await house.gate.admit(asker.ask(hold_tokens=50))).code is Code.BALANCE_TOO_LOW
    assert await house.gate.holds("k:1") == (60, 1)


async def test_more_changes_than_are_read_at_once_are_waited_for(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker tells Redis of the oldest; a revocation may be among the rest."""
    monkeypatch.setattr(module, "MOST_ROWS", 2)
    await house.gate.put_balance(row(3))
    comeback = house.comeback()
    house.changed = [row(1), row(2), row(3, 2, status="revoked")]
    with pytest.raises(RedisUnavailable):
        await comeback.run_once()
    assert not house.link.is_trusted
    del house.changed[:2]
    assert await comeback.run_once() == 1
    assert (await house.gate.admit(Asker("k:3").ask())).code is Code.REVOKED


async def test_nothing_is_set_aside_for_a_transfer_before_it_is_trusted(house: House) -> None:
    """It does not know yet what requests hold that were let in without it."""
    await house.gate.put_balance(row(1, trial=0, paid=100))
    ask = Asker("k:1").ask(hold_tokens=60)
    house.running.holds.append(hold_of(ask, 60))
    comeback = house.comeback()
    with pytest.raises(RedisUnavailable):
        await house.reserves.take(1, "t", None)
    await comeback.run_once()
    assert (await house.reserves.take(1, "t", None)).tokens == 40


async def test_a_balance_that_was_read_before_redis_began_anew_is_not_copied(
    server: RedisServer, link: RedisLink
) -> None:
    """A newer one may have been told to the process before, and been lost with it."""
    gate = Gate(link)
    await link.open()
    memory, old = gate.memory, row(1, trial=100)
    await gate.put_balance(old, memory)
    os.kill(server.pid, signal.SIGKILL)
    await server.wait_dead()
    # Nothing waits for the next process, as it would be told of it before anybody could know.
    with pytest.raises(RedisUnavailable):
        await gate.put_balance(old, memory)
    await server.start()
    await until_it_answers(link)
    with pytest.raises(RedisUnavailable, match="begun anew"):
        await gate.put_balance(old, memory)
    assert (await gate.peek("k:1", ())).trial == 0
    await gate.put_balance(old, gate.memory)
    assert (await gate.peek("k:1", ())).trial == 100


async def test_who_still_refuses_to_write_is_not_trusted(house: House, server: RedisServer) -> None:
    """Its memory is full: it can be told nothing, though there may be nothing to tell now."""
    comeback = house.comeback()
    reader, writer = await asyncio.open_unix_connection(str(server.socket))
    assert await redis_command(reader, writer, "CONFIG", "SET", "maxmemory", "1") == "OK"
    with pytest.raises(RedisUnavailable):
        await comeback.run_once()
    assert not house.link.is_trusted
    await until_it_answers(house.link)
    assert "not trusted" in comeback.trouble()
    assert await redis_command(reader, writer, "CONFIG", "SET", "maxmemory", "0") == "OK"
    writer.close()
    await writer.wait_closed()

    async def is_trusted() -> bool:
        return await comeback.run_once() == 1

    await until(is_trusted)
    assert comeback.trouble() == ""
