"""The reckoning of `make soak`: stores at rest, the journal against the ledger, and the verdict.

Refuses to forgive: what the ledger has otherwise than its client was told is a difference, whoever
it favours.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg

from gateway.admission.gate import Gate
from gateway.ledger.reconcile import Reconciler
from gateway.postgres import Postgres
from gateway.redis_link import RedisLink
from gateway.sql import load_queries
from ops.bench.soak_clients import Seen
from ops.bench.soak_watch import MOST_DESCRIPTORS_PER_10_MIN, StoreLook, Trend
from ops.bench.speed_knee import Step
from ops.bench.stack import HERE, Stack

REST_S: Final = 90.0
_MB: Final = 1e6
_OUTCOMES: Final = """
select o.request_id::text, o.kind, o.cost_tokens, o.key_id is not null,
    exists (select from transfer t where t.kind = 'undelivered'
        and t.ref in (o.request_id || '/trial', o.request_id || '/paid'))
from outcome o
"""


@dataclass
class Found:
    """Everything that the run gave."""

    minutes: float
    seed: int
    per_s: float
    knee_per_s: float = 0.0
    late_s: float = 0.0
    steps: list[Step] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    trends: list[Trend] = field(default_factory=list)
    stores: list[StoreLook] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    rest_s: float = 0.0
    proof: dict[str, int | str | None] = field(default_factory=dict)
    differences: Counter[str] = field(default_factory=Counter)
    charged: int = 0
    outcomes: int = 0


class Journal:
    """What the clients were told of each request that could cost something."""

    def __init__(self, lines: list[str]) -> None:
        self._told: dict[str, tuple[str, int]] = {}
        self._unknown = 0
        self.differences: Counter[str] = Counter()
        for line in lines:
            name, told, tokens = line.split()
            self._told[name] = (told, int(tokens))

    def compare(self, name: str, kind: str, cost: int, *, keyed: bool, given_back: bool) -> None:
        """One row of the ledger; each is seen once."""
        told, tokens = self._told.pop(name, ("", 0))
        if told == "whole":
            if kind != "charge":
                self.differences["whole answers without a charge"] += 1
            elif cost != tokens:
                self.differences["charges other than the client was told"] += 1
            elif given_back:
                self.differences["whole answers that were given back"] += 1
        elif told == "free" and kind == "charge" and cost and not given_back:
            self.differences["failures that were charged"] += 1
        elif not told and keyed and kind == "charge" and cost and not given_back:
            self._unknown += 1

    def end(self, nameless: int) -> None:
        """All rows were seen: what was told and is not in the ledger is lost.

        Of a stream that `nameless` clients left before they had read its head, but not before it
        was on its way, what was produced is charged.
        """
        if self._unknown > nameless:
            self.differences["charges that no client knows"] += self._unknown - nameless
        lost = sum(told == "whole" for told, _ in self._told.values())
        if lost:
            self.differences["whole answers that the ledger does not have"] += lost


async def reckon(stack: Stack, journal: Path, found: Found) -> None:
    """Wait for rest, then compare everything with everything."""
    postgres = Postgres(stack.database_url, command_deadline_ms=300_000)
    link = RedisLink(stack.redis_url, deadline_ms=10_000)
    gate = Gate(link)
    await link.open()
    try:
        found.rest_s = await _rest(link)
        reconciler = Reconciler(postgres, load_queries())
        checks = await reconciler.run()
        checks.append(await reconciler.compare_copies(await gate.copies()))
        # A check that did not come to its end proves nothing.
        found.proof = {
            each.name: each.differences or each.fault
            for each in checks
            if each.differences or each.fault
        }
    finally:
        await link.close()
        await postgres.close()
    lines = await asyncio.to_thread(journal.read_text, "ascii")
    book = Journal(lines.splitlines())
    await _compare(stack, book, found)
    found.differences = book.differences


async def _rest(link: RedisLink) -> float:
    """Until no hold is left in Redis; the seconds that took, REST_S if it did not."""
    begun_s = time.monotonic()
    while (took_s := time.monotonic() - begun_s) < REST_S:
        left = [await link.call(None, "KEYS", name) for name in ("{s*}h:*", "{s*}d")]
        if not any(left):
            return took_s
        await asyncio.sleep(0.5)
    return REST_S


async def _compare(stack: Stack, book: Journal, found: Found) -> None:
    line = await asyncpg.connect(stack.database_url, ssl=False)
    try:
        async with line.transaction():
            async for name, kind, cost, keyed, back in line.cursor(_OUTCOMES, prefetch=5_000):
                found.outcomes += 1
                found.charged += kind == "charge"
                book.compare(name, kind, cost, keyed=keyed, given_back=back)
    finally:
        await line.close()
    book.end(found.seen.nameless)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the verdict; `right` None: not judged."""

    what: str
    asked: str
    found: str
    right: bool | None

    @property
    def row(self) -> str:
        """The row of the table."""
        verdict = {True: "ok", False: "BROKEN", None: "not judged (too short)"}[self.right]
        return f"| {self.what} | {self.asked} | {self.found} | {verdict} |"


def verdict(found: Found) -> list[Line]:
    """Every bound of the run."""
    gateways = [each for each in found.trends if each.name.startswith("gateway")]
    judged = bool(gateways) and all(each.judged for each in gateways)
    memory = max((each.bytes_per_10_min for each in gateways), default=0.0)
    files = max((each.descriptors_per_10_min for each in gateways), default=0.0)
    steady = all(each.steady for each in gateways) if judged else None
    return [
        Line(
            "memory of a gateway process, second half",
            "< 1 MB per 10 minutes",
            f"{memory / _MB:+.2f} MB",
            None if steady is None else memory < _MB,
        ),
        Line(
            "descriptors of a gateway process, second half",
            f"< {MOST_DESCRIPTORS_PER_10_MIN:.0f} more per 10 minutes",
            f"{files:+.1f}",
            None if steady is None else files < MOST_DESCRIPTORS_PER_10_MIN,
        ),
        Line("processes that ended", "0", ", ".join(found.ended) or "0", not found.ended),
        Line(
            "no hold is left after",
            f"< {REST_S:.0f} s",
            f"{found.rest_s:.1f} s",
            found.rest_s < REST_S,
        ),
        Line("differences in reconcile", "0", str(found.proof or 0), not found.proof),
        Line(
            f"journal against {found.outcomes:,} outcomes ({found.charged:,} charges)",
            "0 differences",
            str(dict(found.differences) or 0),
            not found.differences,
        ),
        Line(
            "answers other than expected",
            "0",
            str(dict(found.seen.unexpected.most_common(8)) or 0),
            not found.seen.unexpected,
        ),
    ]


def write(found: Found) -> tuple[str, int]:
    """Write soak.md; its text, and how many bounds are broken."""
    asked = verdict(found)
    broken = sum(each.right is False for each in asked)
    knee = "given" if not found.knee_per_s else f"70 % of a knee of {found.knee_per_s:,.0f}/s"
    text = [
        "# Measured by `make soak`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {found.minutes:g} minutes at {found.per_s:,.0f} requests/s",
        f"({knee}), two gateway processes, seed {found.seed}. The load generator was at most",
        f"{found.late_s * 1e3:.0f} ms late at the end of a minute.",
        "",
        f"**{'Every bound holds.' if not broken else f'{broken} bounds are broken.'}**",
        "",
        "| what | asked | found | |",
        "|---|---|---|---|",
        *(each.row for each in asked),
        "",
        *_processes(found.trends),
        "",
        *_stores(found.stores),
        "",
        *_kinds(found.seen),
    ]
    whole = "\n".join(text) + "\n"
    (HERE / "soak.md").write_text(whole, encoding="utf-8")
    return whole, broken


def _processes(trends: list[Trend]) -> list[str]:
    rows = [
        "| process | MB first | last | most | MB per 10 min | descriptors per 10 min "
        "| descriptors | threads |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in trends:
        rows.append(
            f"| {each.name} | {each.first_bytes / _MB:.1f} | {each.last_bytes / _MB:.1f} "
            f"| {each.most_bytes / _MB:.1f} | {each.bytes_per_10_min / _MB:+.2f} "
            f"| {each.descriptors_per_10_min:+.1f} | {each.last_descriptors} "
            f"| {each.last_threads} |"
        )
    return rows


def _stores(stores: list[StoreLook]) -> list[str]:
    rows = [
        "| minute | spools KB | Redis MB | Redis keys | PostgreSQL MB |",
        "|---|---|---|---|---|",
    ]
    step = max(1, len(stores) // 10)
    for look in [*stores[::step], *stores[-1:]]:
        rows.append(
            f"| {look.at_s / 60:.1f} | {look.spool_bytes / 1e3:,.0f} "
            f"| {look.redis_bytes / _MB:.1f} | {look.redis_keys:,} "
            f"| {look.postgres_bytes / _MB:.1f} |"
        )
    return rows


def _kinds(seen: Seen) -> list[str]:
    rows = ["| clients | asked | as they expected or meant to |", "|---|---|---|"]
    return rows + [
        f"| {kind} | {n:,} | {seen.answered[kind]:,} |" for kind, n in seen.asked.items()
    ]
