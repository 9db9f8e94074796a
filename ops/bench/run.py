"""`make bench`: every number that was asked for beside what this machine gives, as one table.

Written to ops/bench/results.md. Each comparison is a ratio within one run; absolute figures are
of this machine and this moment. Bounded: about two minutes, loopback only.
"""

import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from ops.bench.exactness import limit_of_ten, round_trips
from ops.bench.memory import memory
from ops.bench.path import path
from ops.bench.shipping import shipping
from ops.bench.stack import HERE, stack
from ops.bench.starts import starts

_PACKAGES = ("aiohttp", "uvloop", "hiredis", "asyncpg", "orjson")


async def main() -> None:
    """Run all and write the table."""
    rows = await starts()
    async with stack() as standing:
        for measure in (path, round_trips, limit_of_ten, memory, shipping):
            rows += await measure(standing)
    text = table(rows)
    (HERE / "results.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def table(rows: list[tuple[str, str, str]]) -> str:
    """The rows as Markdown, with what they were measured on."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [
        "# Measured by `make bench`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()},",
        f"{versions}.",
        "The yardstick (1.00 x) is `baseline_proxy.py`: an aiohttp server with one shared",
        "ClientSession, streaming, no features, on the same event loop, measured in turn.",
        "",
        "| what | asked | measured |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | {asked} | {measured} |" for what, asked, measured in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
