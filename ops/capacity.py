"""The sums of ops/capacity.md: from unit costs that were measured to machines, bytes and limits.

    python -m ops.capacity        writes the table between the two marks in ops/capacity.md

A test compares. What is assumed stands in `Assumed`, what was measured in ops/bench/units.md and in
`Assumed` where it is rounded; nothing else goes in.
"""

import re
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Final

from gateway.commands.household import connections_wanted

TARGET: Final = Path(__file__).with_name("capacity.md")
BEGIN: Final = "<!-- sums: written by python -m ops.capacity -->"
END: Final = "<!-- end of sums -->"
RATES: Final = (1_000, 10_000, 100_000)
_BENCH: Final = Path(__file__).with_name("bench")
_DAY_S: Final = 86_400
_MONTH_DAYS: Final = 30
_GB: Final = 10**9
_MB: Final = 10**6


def measured() -> dict[str, float]:
    """The unit costs by name, of `python -m ops.bench.units`."""
    units = (_BENCH / "units.md").read_text(encoding="utf-8")
    return {
        name: float(value) for name, value in re.findall(r"^\| (\w+) \| ([\d.]+) \|", units, re.M)
    }


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is not measured but chosen: change it here and write the table again."""

    cores_of_node: int = 4
    # Of `make bench`, rounded up, as it differs a little from run to run: CPU per request of all
    # processes of a node, and charges that one shipper brings into one ledger.
    gateway_cpu_us: int = 150
    shipped_per_s: int = 46_000
    # What remains of a machine when one of its peers is away, and for peaks.
    gateway_used: float = 0.5
    redis_used: float = 0.4
    postgres_used: float = 0.5
    # A busy customer asks once in two seconds; of those that exist one in twenty is busy.
    requests_per_busy_key: float = 0.5
    keys_per_busy_key: int = 20
    # Question and answer, on the client's side and again on the service's.
    bytes_of_request: int = 2 * 3_000
    ship_interval_s: float = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """What so many requests a second need."""

    rate: int
    units: dict[str, float] = field(repr=False)
    assumed: Assumed = Assumed()

    @property
    def gateway_cores(self) -> float:
        """Busy cores of gateways."""
        return self.rate * self.assumed.gateway_cpu_us / 1e6

    @property
    def nodes(self) -> int:
        """Machines, one of which may be away; never fewer than three, so that a restart of one
        leaves two.
        """
        at_once = self.assumed.cores_of_node * self.assumed.gateway_used
        return max(3, ceil(self.gateway_cores / at_once) + 1)

    @property
    def redis_cores(self) -> float:
        """Busy cores of Redis' masters."""
        return self.rate * self.units["redis_cpu_us"] / 1e6

    @property
    def shards(self) -> int:
        """Masters; a cluster needs three to vote."""
        return max(3, ceil(self.redis_cores / self.assumed.redis_used))

    @property
    def busy_keys(self) -> int:
        """Customers whose windows are full of entries at one moment."""
        return int(self.rate / self.assumed.requests_per_busy_key)

    @property
    def redis_gb(self) -> float:
        """Windows of who is busy, copies of balances of all who asked within a week."""
        known = self.busy_keys * self.assumed.keys_per_busy_key
        windows = self.busy_keys * self.units["redis_full_bytes"]
        return (windows + known * self.units["redis_copy_bytes"]) / _GB

    @property
    def redis_mb_per_s(self) -> float:
        """In and out of all shards."""
        return self.rate * (self.units["redis_in_bytes"] + self.units["redis_out_bytes"]) / _MB

    @property
    def postgres_cores(self) -> float:
        """Busy cores of the primary."""
        return self.rate * self.units["postgres_cpu_us"] / 1e6

    @property
    def commits_per_s(self) -> int:
        """At most: each gateway process ships once in an interval."""
        processes = self.nodes * self.assumed.cores_of_node
        return min(self.rate, int(processes / self.assumed.ship_interval_s))

    @property
    def connections(self) -> int:
        """At most, with every node in the middle of a restart."""
        return self.nodes * connections_wanted(self.assumed.cores_of_node)

    @property
    def wal_mb_per_s(self) -> float:
        """Written by the primary, and sent to each standby."""
        return self.rate * self.units["wal_bytes"] / _MB

    @property
    def table_gb_per_day(self) -> float:
        """Rows and indexes of outcomes."""
        return self.rate * (self.units["row_bytes"] + self.units["index_bytes"]) * _DAY_S / _GB

    @property
    def spool_gb_per_hour(self) -> float:
        """On the disks of all nodes together, for each hour without PostgreSQL."""
        return self.rate * self.units["spool_bytes"] * 3_600 / _GB

    @property
    def net_mb_per_s(self) -> float:
        """Through all nodes together: clients, services, stores."""
        stores = self.redis_mb_per_s + self.rate * self.units["posted_bytes"] / _MB
        return self.rate * self.assumed.bytes_of_request / _MB + stores

    @property
    def lost_with_a_disk(self) -> int:
        """Outcomes that one node has decided and not shipped: two intervals and a commit."""
        return ceil(self.rate / self.nodes * 3 * self.assumed.ship_interval_s)

    @property
    def ledgers(self) -> int:
        """Primaries, by what one shipper alone brought into one."""
        return ceil(self.rate / self.assumed.shipped_per_s)


def plans() -> list[Plan]:
    """One for each rate."""
    units = measured()
    return [Plan(rate, units) for rate in RATES]


def table() -> str:
    """What stands between the marks."""
    rows: list[tuple[str, str, list[str]]] = []
    every = plans()

    def row(what: str, sum_: str, values: list[str]) -> None:
        rows.append((what, sum_, values))

    row("busy gateway cores", "rate x gateway_cpu_us", [f"{p.gateway_cores:.1f}" for p in every])
    row("gateway nodes of 4 cores", "cores / (4 x 0.5), + 1, >= 3", [str(p.nodes) for p in every])
    row("busy Redis cores", "rate x redis_cpu_us", [f"{p.redis_cores:.1f}" for p in every])
    row(
        "Redis shards, a replica each",
        "cores / 0.4, >= 3",
        [f"{p.shards} + {p.shards}" for p in every],
    )
    row(
        "Redis memory, GB in all",
        "busy x full + known x copy",
        [f"{p.redis_gb:.2f}" for p in every],
    )
    row("Redis network, MB/s", "rate x (in + out)", [f"{p.redis_mb_per_s:.1f}" for p in every])
    row(
        "busy PostgreSQL cores",
        "rate x postgres_cpu_us",
        [f"{p.postgres_cores:.1f}" for p in every],
    )
    row("commits/s at most", "nodes x 4 / 20 ms, <= rate", [f"{p.commits_per_s:,}" for p in every])
    row(
        "connections at most",
        "nodes x connections_wanted(4)",
        [f"{p.connections:,}" for p in every],
    )
    row("WAL, MB/s to each standby", "rate x wal_bytes", [f"{p.wal_mb_per_s:.1f}" for p in every])
    row("WAL, GB a day", "x 86,400", [f"{p.wal_mb_per_s * _DAY_S / 1e3:,.0f}" for p in every])
    row(
        "outcomes, GB a day",
        "rate x (row + index) x 86,400",
        [f"{p.table_gb_per_day:,.0f}" for p in every],
    )
    row(
        "outcomes, TB a month",
        "x 30",
        [f"{p.table_gb_per_day * _MONTH_DAYS / 1e3:,.1f}" for p in every],
    )
    row("ledgers", "rate / shipped_per_s", [str(p.ledgers) for p in every])
    row(
        "spools, GB an hour without it",
        "rate x spool_bytes x 3,600",
        [f"{p.spool_gb_per_hour:.1f}" for p in every],
    )
    row(
        "network of all nodes, MB/s",
        "6 KB a request + stores",
        [f"{p.net_mb_per_s:.0f}" for p in every],
    )
    row(
        "lost with a node's disk, outcomes",
        "rate / nodes x 60 ms",
        [str(p.lost_with_a_disk) for p in every],
    )
    head = "| | sum | " + " | ".join(f"{p.rate:,} requests/s" for p in every) + " |"
    lines = [f"| {what} | {sum_} | {' | '.join(values)} |" for what, sum_, values in rows]
    return "\n".join([head, "|---|---|" + "---|" * len(every), *lines])


def render(text: str) -> str:
    """The document with the table of now between its marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    TARGET.write_text(render(TARGET.read_text(encoding="utf-8")), encoding="utf-8")
