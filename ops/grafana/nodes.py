"""Each machine: its processes, its disk, and how far behind the ledger it is."""

from typing import Final

from ops.grafana.panels import RATE, Page, Panel, Query, query

_CHOSEN: Final = 'instance=~"$node"'


def by_node(metric: str) -> str:
    """A metric of the machines that are chosen."""
    return f"{metric}{{{_CHOSEN}}}"


def rate(metric: str) -> str:
    """How fast a sum of theirs grows."""
    return f"rate({metric}{{{_CHOSEN}}}{RATE})"


def drawn(title: str, text: str, expression: str, unit: str = "short") -> Panel:
    """One line for each machine."""
    return Panel(title, text, query(expression, "{{instance}}"), unit)


_FREE: Final = f"{by_node('sluice_disk_free_bytes')} / {by_node('sluice_disk_size_bytes')}"
_RUNNING: Final = (
    Query(by_node("sluice_gateways"), "{{instance}} gateways"),
    Query(by_node("sluice_gateways_wanted"), "{{instance}} wanted"),
    Query(by_node("sluice_background_workers"), "{{instance}} workers"),
)

PAGE: Final = Page(
    "nodes",
    "Sluice: nodes",
    "Each machine: its processes, its disk, and how far behind the ledger it is.",
    (
        Panel("Processes", "That tell their numbers.", _RUNNING),
        drawn("Processor", "Cores used by gateways and worker.", rate("sluice_cpu_seconds_total")),
        drawn("Memory", "Resident, added up.", by_node("sluice_memory_bytes"), "bytes"),
        drawn(
            "Loop lag, 99 %",
            "How late an event loop comes to what is due.",
            f"sluice:loop_lag_seconds:p99_5m{{{_CHOSEN}}}",
            "s",
        ),
        drawn("Connections", "Of clients.", by_node("sluice_open_connections")),
        drawn("Requests under way", "Holds.", by_node("sluice_open_requests")),
        drawn("Spool", "Outcomes not posted yet.", by_node("sluice_spool_depth")),
        drawn("Spool", "Bytes not posted yet.", by_node("sluice_spool_bytes"), "bytes"),
        drawn(
            "To the ledger, 99 %",
            "From durable until posted.",
            f"sluice:ship_lag_seconds:p99_5m{{{_CHOSEN}}}",
            "s",
        ),
        drawn("Posted", "Outcomes a second.", rate("sluice_shipped_outcomes_total"), "ops"),
        drawn("Shipments refused", "By PostgreSQL.", rate("sluice_ship_failures_total"), "ops"),
        drawn("Statements", "To PostgreSQL.", rate("sluice_postgres_queries_total"), "ops"),
        drawn("Disk free", "Of the spool's disk.", _FREE, "percentunit"),
        drawn("Disks that fail", "Gateways that refuse.", by_node("sluice_spool_failing")),
        drawn("Redis restarts", "Without memory.", rate("sluice_redis_restarts_total"), "ops"),
    ),
    {"node": ("sluice_gateways", "instance")},
)
