"""What Redis ought to know of one subject, and how a broken promise is told."""

from dataclasses import dataclass, field, replace

from gateway.ledger.rows import BalanceRow


class Broken(AssertionError):
    """An invariant does not hold."""


def demand(holds: bool, name: str, text: object = "") -> None:
    """`name` is what the report calls the invariant."""
    if not holds:
        raise Broken(f"{name}: {text}")


@dataclass(slots=True)
class Held:
    """A hold as it ought to be."""

    tokens: int
    product: str
    decided: bool = False


@dataclass(slots=True)
class Subject:
    """All of one subject that Redis ought to know; logs: (time us, cost) by request id."""

    copy: BalanceRow | None = None
    tombs: set[str] = field(default_factory=set)
    was: str = ""
    holds: dict[str, Held] = field(default_factory=dict)
    requests: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    tokens: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def take(self, row: BalanceRow) -> None:
        """A newer row; under a tombstone the key stays revoked."""
        if row.status == "revoked":
            self.tombs.clear()
        if self.tombs:
            self.was = row.status
            row = replace(row, status="revoked")
        self.copy = row

    def held(self) -> int:
        return sum(each.tokens for each in self.holds.values())

    def open(self, product: str) -> int:
        return sum(h.product == product and not h.decided for h in self.holds.values())


def total(log: dict[str, tuple[int, int]], since_us: int) -> int:
    return sum(cost for at_us, cost in log.values() if at_us > since_us)
