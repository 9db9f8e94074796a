"""What happens inside the namespaces: the site stands, proof after proof, then the report."""

import asyncio
import os
import platform
import shutil
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ops.nodes.net import run
from ops.nodes.packages import ROOT, RedisProgram, redis_program
from ops.nodes.proofs_cut import cuts, died
from ops.nodes.proofs_limits import limits, slots
from ops.nodes.proofs_primary import primary
from ops.nodes.proofs_rolling import restarts, upgrade
from ops.nodes.proofs_shards import shards
from ops.nodes.reckoning import Line, at_rest, exactly, proof, reckon, told
from ops.nodes.shards import NODE_TIMEOUT_MS
from ops.nodes.site import Site, site

Proof = Callable[[Site], Awaitable[list[Line]]]
# In this order: the first one begins with the earlier version.
PROOFS: Final[Mapping[str, tuple[str, Proof | None]]] = {
    "upgrade": ("Rolling upgrade from an earlier commit, under load", None),
    "restarts": ("Rolling restarts of all nodes, under load", restarts),
    "limits": ("Limits over three nodes", limits),
    "slots": ("Keys and slots", slots),
    "shards": ("A shard of Redis loses its master", shards),
    "cuts": ("One node is cut off", cuts),
    "died": ("One node dies", died),
    "primary": ("The primary of PostgreSQL is lost", primary),
}


@dataclass
class Report:
    """What was found; written again after each proof."""

    to: Path
    redis: RedisProgram
    version: str
    begun_s: float = field(default_factory=time.monotonic)
    parts: list[tuple[str, list[Line], float]] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """Lines that are not as they should be."""
        return sum(line.right is False for _, lines, _ in self.parts for line in lines)

    def add(self, title: str, lines: list[Line], seconds: float) -> None:
        """One more proof."""
        self.parts.append((title, lines, seconds))
        sys.stdout.write("\n".join([f"\n## {title} ({seconds:.0f} s)", *map(_row, lines)]) + "\n")
        sys.stdout.flush()
        self.to.write_text(self._text(), encoding="utf-8")

    def _text(self) -> str:
        head = (_HEAD.read_text(encoding="utf-8")).format(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            cores=os.cpu_count(),
            load=f"{os.getloadavg()[0]:.0f}",
            python=platform.python_version(),
            redis=self.redis.version,
            version=self.version,
            timeout=NODE_TIMEOUT_MS,
            seconds=f"{time.monotonic() - self.begun_s:.0f}",
            wrong=self.wrong,
        )
        text = [head.rstrip()]
        for title, lines, seconds in self.parts:
            text += ["", f"## {title} ({seconds:.0f} s)", "", "| what | asked | found | |"]
            text += ["|---|---|---|---|", *map(_row, lines)]
        return "\n".join(text) + "\n"


_HEAD = Path(__file__).resolve().with_name("head.md")


def _row(line: Line) -> str:
    verdict = {True: "ok", False: "WRONG", None: ""}[line.right]
    return f"| {line.what} | {line.asked} | {line.found.replace('|', '/')} | {verdict} |"


async def inside(
    folder: Path, repository: Path, names: Sequence[str], to: Path, earlier: str
) -> int:
    """All of it; the exit code."""
    head = await run("git", "-C", str(repository), "rev-parse", "--short", "HEAD")
    report = Report(to, redis_program(repository), head.strip())
    old, commit = ROOT, ""
    if "upgrade" in names:
        commit = earlier or await _earlier(repository)
        old = await _unpacked(repository, commit, folder / "earlier")
    begun_s = time.monotonic()
    async with site(folder, report.redis, old) as standing:
        await asyncio.gather(*(standing.start_node(node) for node in standing.nodes))
        await standing.until_all_ok()
        sys.stdout.write(f"the site stands after {time.monotonic() - begun_s:.0f} s\n")
        for name in names:
            await _one(report, standing, name, commit)
        await _last(report, standing)
    return int(report.wrong > 0)


async def _one(report: Report, standing: Site, name: str, commit: str) -> None:
    title, prove = PROOFS[name]
    begun_s = time.monotonic()
    try:
        lines = await (upgrade(standing, commit) if prove is None else prove(standing))
    except Exception:  # noqa: BLE001 - the other proofs shall be tried, and this one is wrong
        trouble = traceback.format_exc()
        sys.stdout.write(trouble + _logs(standing))
        lines = [exactly("the proof ran to its end", "yes", trouble.splitlines()[-1])]
    report.add(title, lines, time.monotonic() - begun_s)


async def _last(report: Report, standing: Site) -> None:
    """After everything: the whole journal, the whole ledger, and Redis at rest."""
    begun_s = time.monotonic()
    try:
        rested_s = await at_rest(standing)
        lines = [
            told("no hold is left after", f"{rested_s:.1f} s"),
            *(await reckon(standing, standing.crowd.journal, killed=True)),
            exactly("checks of the proof with differences", {}, await proof(standing)),
        ]
    except Exception:  # noqa: BLE001 - the report shall say so
        trouble = traceback.format_exc()
        sys.stdout.write(trouble + _logs(standing))
        lines = [exactly("the last reckoning ran to its end", "yes", trouble.splitlines()[-1])]
    report.add("The whole run, at rest", lines, time.monotonic() - begun_s)


def _logs(standing: Site) -> str:
    programs = [p for node in standing.nodes for p in (node.serve, node.worker) if p is not None]
    return "".join(f"--- {each.name}\n{each.words(1_500)}\n" for each in programs)


async def _earlier(repository: Path) -> str:
    """The commit before the last one that brought a migration."""
    words = ("git", "-C", str(repository), "log", "--format=%H", "--diff-filter=A", "-1")
    newest = (await run(*words, "--", "sql/migrations")).strip()
    return (await run("git", "-C", str(repository), "rev-parse", "--short", f"{newest}^")).strip()


async def _unpacked(repository: Path, commit: str, folder: Path) -> Path:
    archive = folder.with_suffix(".tar")
    await run("git", "-C", str(repository), "archive", "-o", str(archive), commit)
    await asyncio.to_thread(shutil.unpack_archive, archive, folder, filter="data")
    return folder
