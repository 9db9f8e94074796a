"""Asks for tests: short to write, each with a request id of its own; and a way past the memory."""

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from gateway.admission.ask import Ask, Decision, Extension, Hold, Settlement
from gateway.admission.gate import Gate
from gateway.admission.replies import decision, extension
from gateway.admission.scripts import Scripts, tag_of, tag_slots
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits, Shadow
from gateway.redis_link import RedisLink, Reply

# A time that no test reaches by the real clock: 2027-01-15 in microseconds.
START_US = 1_800_000_000_000_000
PLENTY = 10**9
OPEN = Limits(PLENTY, None, PLENTY)
MakeGate = Callable[[], Awaitable[tuple[Gate, RedisLink]]]


def limits(
    rpm: int = PLENTY,
    tpm: int | None = None,
    concurrency: int = PLENTY,
    shadow: Shadow | None = None,
) -> Limits:
    return Limits(rpm, tpm, concurrency, shadow)


def row(key_id: int, version: int = 1, *, trial: int = 10**12, **changes: object) -> BalanceRow:
    fields: dict[str, object] = {
        "paid": 0,
        "status": "active",
        "tier": "key",
        "limits": {},
        **changes,
    }
    return BalanceRow(key_id, version, trial, **fields)  # type: ignore[arg-type]


@dataclass
class Asker:
    """Makes the asks of one subject."""

    subject: str
    product: str = "embeddings"
    limits: Limits = OPEN
    premium: Limits | None = None
    instance: str = "gw1"
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def ask(self, tpm_cost: int = 0, hold_tokens: int = 0, **changes: object) -> Ask:
        number = next(self.numbers)
        fields: dict[str, object] = {
            "subject": self.subject,
            "tag": tag_of(self.subject),
            "product": self.product,
            "request_id": f"{self.subject}-{number}",
            "limits_key": self.limits,
            "limits_premium": self.premium or self.limits,
            "tpm_cost": tpm_cost,
            "hold_tokens": hold_tokens,
            "deadline_ms": START_US // 1_000 + 60_000,
            "instance": self.instance,
            "admission_no": number,
            "keyed": self.subject.startswith("k:"),
            **changes,
        }
        return Ask(**fields)  # type: ignore[arg-type]


def settlement(ask: Ask, actual_tpm: int | None = None, cost_tokens: int = 0) -> Settlement:
    return Settlement(ask.subject, ask.tag, ask.product, ask.request_id, actual_tpm, cost_tokens)


def hold_of(ask: Ask, hold_tokens: int | None = None) -> Hold:
    return Hold(
        ask.request_id,
        ask.subject,
        ask.product,
        ask.hold_tokens if hold_tokens is None else hold_tokens,
        ask.instance,
        ask.admission_no,
        ask.deadline_ms,
    )


class Direct:
    """The scripts themselves, at a time that the test names (0: the server's)."""

    def __init__(self, link: RedisLink, scripts: Scripts) -> None:
        self.link = link
        self.scripts = scripts
        self.slots = tag_slots()

    async def admit(
        self, ask: Ask, clock_us: int = START_US, riders: Sequence[Settlement] = ()
    ) -> Decision:
        command = self.scripts.admit(ask, riders, clock_us)
        return decision(await self.link.write(self.slots[ask.tag], command))

    async def judge(self, ask: Ask, clock_us: int = START_US) -> Decision:
        command = self.scripts.judge(ask, clock_us)
        return decision(await self.link.write(self.slots[ask.tag], command))

    async def extend(self, ask: Ask, hold_tokens: int) -> Extension:
        command = self.scripts.extend(ask.tag, ask.subject, ask.request_id, hold_tokens)
        return extension(await self.link.write(self.slots[ask.tag], command))

    async def settle(
        self, settlements: Sequence[Settlement], balance: BalanceRow | None = None
    ) -> Reply:
        subject = settlements[0].subject if settlements else f"k:{balance and balance.key_id}"
        tag = tag_of(subject)
        command = self.scripts.settle(tag, subject, settlements, balance)
        return await self.link.write(self.slots[tag], command)

    async def correct(self, *corrections: Settlement) -> Reply:
        tag, subject = corrections[0].tag, corrections[0].subject
        command = self.scripts.correct(tag, subject, corrections)
        return await self.link.write(self.slots[tag], command)

    async def call(self, subject: str, *words: str | int) -> Reply:
        return await self.link.call(self.slots[tag_of(subject)], *words)


async def open_direct(url: str, *, buckets: int = 240) -> Direct:
    link = RedisLink(url, deadline_ms=2_000)
    scripts = Scripts(link, buckets=buckets)
    await link.open()
    return Direct(link, scripts)
