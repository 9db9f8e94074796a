"""What a seed means: the shape of its world, and which faults come when.

Each run has only some kinds of fault (and one in four none), so that what they hide from each other
is seen too.
"""

from dataclasses import dataclass, field
from random import Random

KINDS = (
    "redis_kill",
    "redis_old",
    "redis_freeze",
    "redis_net",
    "redis_cut_off",
    "pg_away",
    "pg_freeze",
    "pg_net",
    "pg_cut_off",
    "kill_gateway",
    "kill_worker",
    "power",
    "disk",
    "slow_disk",
    "leaving",
    "services",
    "twice",
    "skew",
)
ACTIVE_S = 18.0
MOST_REST_S = 240.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request that a client will make."""

    at_s: float
    gateway: int
    product: str
    key: int | None
    address: int
    size: int
    cap: int | None
    leaves_s: float | None


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault: `kind` from `at_s` for `for_s`; `where` names a gateway or node."""

    at_s: float
    kind: str
    for_s: float
    where: int


@dataclass(frozen=True, slots=True)
class Deed:
    """What an operator does: revoke, suspend, activate, credit a key."""

    at_s: float
    kind: str
    key: int
    tokens: int


@dataclass(slots=True)
class Plan:
    """All of a run that is drawn before it begins."""

    seed: int
    gateways: int
    nodes: int
    variant: int
    grants: list[int]
    kinds: list[str]
    asks: list[Ask] = field(default_factory=list)
    strikes: list[Strike] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    chance = Random(f"plan {seed}")
    kinds: list[str] = []
    if chance.random() > 0.25:
        kinds = sorted(chance.sample(KINDS, chance.randint(1, 6)))
    plan = Plan(
        seed,
        chance.choice((1, 2, 2, 3)),
        chance.choice((1, 2)),
        chance.randint(0, 3),
        [chance.choice((0, 150, 400, 1_500, 100_000)) for _ in range(chance.randint(1, 3))],
        kinds,
    )
    _draw_asks(plan, chance)
    for kind in kinds:
        for _ in range(chance.randint(1, 2)):
            at_s, for_s = chance.uniform(0.5, ACTIVE_S), chance.uniform(0.05, 9.0)
            if chance.random() < 0.6:
                # Where something happens.
                at_s = max(0.3, chance.choice(plan.asks).at_s + chance.uniform(-0.1, 0.6))
            plan.strikes.append(Strike(at_s, kind, for_s, chance.randint(0, 5)))
    for strike in plan.strikes:
        if strike.kind in ("pg_away", "pg_freeze") and chance.random() < 0.6:
            at_s = strike.at_s + chance.uniform(0.0, strike.for_s)
            plan.deeds.append(Deed(at_s, "revoke", chance.randint(1, len(plan.grants)), 0))
    for number in range(len(plan.grants)):
        if chance.random() < 0.4:
            kind = chance.choice(("revoke", "revoke", "suspend", "credit", "credit", "limits"))
            tokens = chance.randint(50, 2_000)
            plan.deeds.append(Deed(chance.uniform(1.0, ACTIVE_S), kind, number + 1, tokens))
    plan.deeds.sort(key=lambda each: each.at_s)
    return plan


def _draw_asks(plan: Plan, chance: Random) -> None:
    """Bursts of one subject, as only they meet limits, over some time and a minute later."""
    leaving = "leaving" in plan.kinds
    starts = sorted(chance.uniform(0.2, ACTIVE_S) for _ in range(chance.randint(3, 6)))
    if chance.random() < 0.3:
        first = starts[0]
        starts += [first + 60.0 + chance.uniform(-1.0, 1.5)]
    for at_s in starts:
        product = chance.choice(("embeddings", "embeddings", "reader", "deepsearch"))
        key: int | None = chance.randint(1, len(plan.grants))
        if product == "reader" and chance.random() < 0.6:
            key = None
        next_s = at_s
        for _ in range(chance.randint(2, 8)):
            next_s += chance.choice((0.0, 0.001, 0.01, 0.2, 0.7)) * chance.random()
            leaves_s = None
            if leaving and chance.random() < 0.4:
                leaves_s = chance.choice((0.003, 0.02, 0.2, 3.0)) * chance.random()
            cap = chance.randint(5, 300) if chance.random() < 0.1 else None
            plan.asks.append(
                Ask(
                    next_s,
                    chance.randint(0, 9),
                    product,
                    key,
                    chance.randint(1, 2) if key is None else 0,
                    chance.randint(1, 160),
                    cap,
                    leaves_s,
                )
            )
    plan.asks.sort(key=lambda each: each.at_s)
