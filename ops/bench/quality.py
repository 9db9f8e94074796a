"""`make bench-quality`: how good and how fast the models are, as one table.

Written to ops/bench/quality.md. Each comparison is a ratio within one run; absolute figures are
of this machine and this moment. About a minute, loopback only.
"""

import asyncio
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version

from ops.bench.quality_door import door
from ops.bench.quality_order import order
from ops.bench.quality_speed import speed
from ops.bench.stack import HERE, stack

_PACKAGES = ("onnxruntime", "tokenizers", "numpy", "aiohttp")


async def main() -> None:
    """Run all and write the table."""
    async with stack() as standing, door(standing) as opened:
        rows = await speed(opened) + await order(opened)
    text = table(rows)
    (HERE / "quality.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def table(rows: list[tuple[str, str, str]]) -> str:
    """The rows as Markdown, with what they were measured on."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    lines = [
        "# Measured by `make bench-quality`",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()},",
        f"{versions}.",
        "The yardstick (1.00 x) is `bare.py`: tokenizer and ONNX Runtime in a loop over the same",
        "graph and texts, with every core, measured in turn. The texts are Python's documentation.",
        "",
        "| what | asked | measured |",
        "|---|---|---|",
    ]
    lines += [f"| {what} | {asked} | {measured} |" for what, asked, measured in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(main())
