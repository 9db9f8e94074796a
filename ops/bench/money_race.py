"""Money under a race, asked for by `python -m ops.bench.money_race`; a short form is in the suite.

1. A balance for exactly 100 requests, asked by 1,000 at once: 100 are let in, and it ends at 0.
2. Transfers, top-ups (credits), charges and revocations by 16 workers at once, on keys that all of
   them use, through the doors of owners and operators. Afterwards the proof must find nothing,
   and only a key that was revoked under its requests may have a shortfall.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from ops.bench.revocation import Line, gateways
from ops.bench.stack import SECRET, process, stack

COST_TOKENS = 7
# Seven bytes, so that what is held is what the service reports.
_BODY = b'{"a":1}'
_REQUESTS = 1_000
_ROOM_FOR = 100
_LINES = 100
_KEYS = 12
_REST_S = 30.0
_FINE = frozenset((200, 401, 402, 409, 422, 429))


@dataclass
class Places:
    """Where to ask: the public door, and the operators'."""

    port: int
    ops_port: int
    token: str


@dataclass
class Purse:
    """A key that all workers know."""

    key: str
    key_id: str


@dataclass
class Raced:
    """What was done: by kind and status; what was answered otherwise than it may be."""

    done: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)


async def called(line: Line, method: str, path: str, bearer: str, document: object) -> Any:
    """Status and JSON of one call."""
    status, body = await line.ask(method, path, bearer, orjson.dumps(document))
    return status, orjson.loads(body)


async def exactly(places: Places, requests: int = _REQUESTS, room_for: int = _ROOM_FOR) -> Any:
    """How many of so many requests were let in on a balance for `room_for`, and what is left."""
    admin, ops = await Line.to(places.port), await Line.to(places.ops_port)
    grant = {"trial_tokens": room_for * COST_TOKENS}
    _, minted = await called(ops, "POST", "/admin/keys", places.token, grant)
    key, wide = minted["api_key"], {"embeddings": {"rpm": 10**6, "concurrency": 10**6}}
    await called(ops, "PUT", f"/admin/keys/{minted['key_id']}/limits", places.token, wide)
    lines = [await Line.to(places.port) for _ in range(_LINES)]
    left = iter(range(requests))

    async def ask(line: Line) -> Counter[int]:
        seen: Counter[int] = Counter()
        for _ in left:
            status, _ = await line.ask("POST", "/v1/embeddings", key, _BODY)
            seen[status] += 1
        return seen

    statuses = sum(await asyncio.gather(*(ask(line) for line in lines)), Counter[int]())
    _, shown = await called(admin, "GET", "/v1/keys/me", key, {})
    for line in (admin, ops, *lines):
        line.close()
    return statuses, shown["balance"]


class Race:
    """Workers that do everything to the same keys until the time is over."""

    def __init__(self, places: Places, seconds: float, seed: int) -> None:
        self._places = places
        self._seconds = seconds
        self._random = random.Random(seed)
        self._purses: list[Purse] = []
        self._refs = iter(range(10**9))
        self.raced = Raced()

    async def run(self, workers: int, keys: int = _KEYS) -> Raced:
        """All of it; returns when every worker has ended."""
        ops = await Line.to(self._places.ops_port)
        for _ in range(keys):
            self._purses.append(await self._fresh(ops))
        ops.close()
        end_s = asyncio.get_running_loop().time() + self._seconds
        await asyncio.gather(*(self._work(end_s) for _ in range(workers)))
        return self.raced

    async def _fresh(self, ops: Line) -> Purse:
        token = self._places.token
        _, minted = await called(ops, "POST", "/admin/keys", token, {"trial_tokens": 50})
        purse = Purse(minted["api_key"], minted["key_id"])
        await self._credit(ops, purse)
        wide = {"embeddings": {"rpm": 10**6, "concurrency": 10**6}}
        await called(ops, "PUT", f"/admin/keys/{purse.key_id}/limits", token, wide)
        return purse

    async def _credit(self, ops: Line, purse: Purse) -> None:
        credit = {"tokens": self._random.randint(1, 500), "bucket": "paid"}
        path, ref = f"/admin/keys/{purse.key_id}/credit", f"race {next(self._refs)}"
        status, _ = await called(ops, "POST", path, self._places.token, {**credit, "ref": ref})
        self._note("credit", status)

    async def _work(self, end_s: float) -> None:
        public, ops = await Line.to(self._places.port), await Line.to(self._places.ops_port)
        loop = asyncio.get_running_loop()
        while loop.time() < end_s:
            one, other = self._random.sample(self._purses, 2)
            dice = self._random.random()
            if dice < 0.70:
                status, _ = await public.ask("POST", "/v1/embeddings", one.key, _BODY)
                self._note("charge", status)
            elif dice < 0.85:
                await self._transfer(public, one, other)
            elif dice < 0.97:
                await self._credit(ops, one)
            else:
                await self._revoke(public, ops, one, other)
        public.close()
        ops.close()

    async def _transfer(self, public: Line, one: Purse, other: Purse) -> None:
        tokens = self._random.choice((None, None, 1, 7, 100))
        document = {"to_api_key": other.key, "tokens": tokens}
        status, _ = await called(public, "POST", "/v1/keys/me/transfer", one.key, document)
        self._note("transfer", status)

    async def _revoke(self, public: Line, ops: Line, one: Purse, other: Purse) -> None:
        document = {"transfer_to_api_key": self._random.choice((None, other.key))}
        status, _ = await called(public, "DELETE", "/v1/keys/me", one.key, document)
        self._note("revocation", status)
        if status == 200:
            fresh = await self._fresh(ops)
            self._purses = [fresh if each is one else each for each in self._purses]

    def _note(self, what: str, status: int) -> None:
        self.raced.done[f"{what} {status}"] += 1
        if status not in _FINE:
            self.raced.odd.append(f"{what} {status}")


async def proven(places: Places) -> dict[str, int]:
    """What the proof finds, once everything is posted."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + _REST_S
    while True:
        line = await Line.to(places.ops_port)
        _, told = await called(line, "GET", "/admin/reconcile", places.token, {})
        line.close()
        found = {each["name"]: each["differences"] for each in told["checks"]}
        wrong = {name: count for name, count in found.items() if count}
        # An admission that has not ended yet is a difference only until it has.
        if not wrong or loop.time() > end_s:
            return wrong
        await asyncio.sleep(0.5)


async def shortfalls(database_url: str) -> int:
    """Requests of keys that are not revoked and could not be paid in full."""
    line = await asyncpg.connect(database_url, ssl=False)
    try:
        found: int = await line.fetchval(
            "select count(*) from outcome o join key_balance b using (key_id) "
            "where o.shortfall > 0 and b.status <> 'revoked'"
        )
    finally:
        await line.close()
    return found


async def main(seconds: float, workers: int, seed: int) -> int:
    """Run and tell; 1 when anything is not as it must be."""
    wrong = 0
    for processes in (1, 4):
        async with AsyncExitStack() as running:
            standing = await running.enter_async_context(stack())
            port, ops_port = await running.enter_async_context(gateways(standing, processes))
            environment = standing.settings(canary_every_ms=0)
            await running.enter_async_context(
                process("-m", "gateway", "worker", environment=environment)
            )
            places = Places(port, ops_port, SECRET)
            statuses, balance = await exactly(places)
            wrong += statuses[200] != _ROOM_FOR or balance["total"] != 0
            say(
                f"{processes} gateway processes, {_REQUESTS} requests on a balance for {_ROOM_FOR}:"
            )
            say(f"  {dict(statuses)}, left {balance}")
            raced = await Race(places, seconds, seed).run(workers)
            found, short = await proven(places), await shortfalls(standing.database_url)
            wrong += bool(found or short or raced.odd)
        say(f"  {workers} workers for {seconds:g} s: {dict(sorted(raced.done.items()))}")
        say(f"  odd answers {len(raced.odd)}, differences {found}, short and not revoked {short}")
    return int(wrong > 0)


def say(line: str) -> None:
    """To who started this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--workers", type=int, default=16)
    options.add_argument("--seed", type=int, default=1)
    given = options.parse_args()
    sys.exit(asyncio.run(main(given.seconds, given.workers, given.seed)))
