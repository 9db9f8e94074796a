"""Reads arrival logs of many processes and nodes back, as one stream in the order of time.

Refuses to hold more of a segment in memory than two of its blocks as events. A segment that cannot
be read, or is torn, gives what of it is whole.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from gateway.arrivals.form import SUBJECT_BYTES, Block, Kind, blocks
from gateway.arrivals.segments import SUFFIX

_US: Final = 1_000_000


class Event(NamedTuple):
    """An arrival, or with `kind` None an ending. `name`: of the request, the same for both."""

    time_us: int
    is_arrival: bool
    name: tuple[str, int]
    kind: Kind | None
    subject: bytes
    tokens: int


@dataclass(slots=True)
class Shelf:
    """The segments of a folder and of all folders in it. `unread`: files that gave nothing."""

    folder: Path
    unread: list[str] = field(default_factory=list)
    read_bytes: int = 0

    def events(self, since_s: float = 0.0) -> Iterator[Event]:
        """All that happened since then (unix)."""
        by_process: dict[str, list[Path]] = {}
        for path in sorted(self.folder.rglob(f"*{SUFFIX}")):
            if path.stat().st_mtime >= since_s:
                # <moment>-<process>-<count>: sorted by moment within a process.
                process = path.stem.partition("-")[2].rpartition("-")[0]
                by_process.setdefault(f"{path.parent}/{process}", []).append(path)
        streams = [self._of_process(name, paths) for name, paths in by_process.items()]
        since_us = int(since_s * _US)
        return (each for each in heapq.merge(*streams) if each.time_us >= since_us)

    def _of_process(self, name: str, paths: Iterable[Path]) -> Iterator[Event]:
        """Blocks overlap by what was on its way: each is sorted together with the one before."""
        waiting: list[Event] = []
        for path in paths:
            try:
                data = path.read_bytes()
            except OSError:
                data = b""
            self.read_bytes += len(data)
            found = False
            for block in blocks(data):
                found = True
                fresh = list(_events(block, name))
                first_us = min(each.time_us for each in fresh)
                waiting = sorted([*waiting, *fresh])
                cut = 0
                while cut < len(waiting) and waiting[cut].time_us < first_us:
                    cut += 1
                yield from waiting[:cut]
                waiting = waiting[cut:]
            if not found:
                self.unread.append(str(path))
        yield from waiting


def _events(block: Block, process: str) -> Iterator[Event]:
    kinds, names = block.kinds, block.subjects
    subjects = [names[at : at + SUBJECT_BYTES] for at in range(0, len(names), SUBJECT_BYTES)]
    number = block.first_number
    columns = zip(block.at, block.kind, block.subject, block.tokens, strict=True)
    for time_us, kind, subject, tokens in columns:
        yield Event(time_us, True, (process, number), kinds[kind], subjects[subject], tokens)
        number += 1
    for time_us, back, used in zip(block.ended_at, block.back, block.used, strict=True):
        yield Event(time_us, False, (process, number - back), None, b"", used)
