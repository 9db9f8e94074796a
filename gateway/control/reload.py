"""Follows the catalogue's file: what it says is in force within about a second, or is refused.

1. `run_once` looks at the file's inode, time and size, and reads it when they are others, or so
   young that a second write may hide behind the same time.
2. A text that was found twice in a row is judged: the first look may meet half a file.
3. All of it comes into force, or nothing: then the sentences are kept, logged once and counted.
4. New gateway processes may have begun with another file: who stays beside them turns to it.

Refuses to end a running gateway for a wrong file: what is in force stays. The windows in Redis know
nothing of limits, so what was used stays used.
"""

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigurationFault
from gateway.products.builtin import judged, text_of, version_of
from gateway.products.offer import Offer, obstacles
from gateway.products.product import Catalogue
from gateway.telemetry import Telemetry
from gateway.telemetry.series import SEPARATOR
from gateway.telemetry.snapshots import Values, read

_LOG = logging.getLogger("sluice.catalogue")
LOOK_EVERY_MS: Final = 400
_YOUNG_NS: Final = 3_000_000_000
METRIC: Final = "sluice_catalogue_since_seconds"


@dataclass(frozen=True, slots=True)
class Holder:
    """One process, the version that is in force in it, and since when (unix)."""

    process: str
    version: str
    since_s: float


class Reload:
    """Brings the file's text into force on the Offer of this process."""

    def __init__(self, path: Path | None, offer: Offer, telemetry: Telemetry, name: str) -> None:
        self.path = path
        self.offer = offer
        # Why the file as it is now is not in force; () when it is.
        self.mistakes: Sequence[str] = ()
        self._telemetry = telemetry
        self._process = f"{name}-{os.getpid()}"
        self._seen: tuple[int, ...] | None = None
        self._pending = self._refused = ""
        self._one = asyncio.Lock()
        self._tell()

    async def run_once(self) -> int:
        """Look at the file, which costs a `stat` while nothing changes."""
        if self.path is not None and self._is_news():
            await self.look(at_once=False)
        return 0

    async def look(self, *, at_once: bool) -> None:
        """Read and judge the file; `at_once` trusts what is read the first time."""
        async with self._one:
            try:
                text = await asyncio.to_thread(text_of, self.path)
            except ConfigurationFault as fault:
                self._refuse("unreadable", fault.mistakes)
                return
            version = version_of(text)
            if version == self.offer.version:
                self._settle(())
            elif version != self._refused and (at_once or version == self._pending):
                await self._judge(text, version)
            self._pending = version

    async def turn_to(self, path: Path | None) -> None:
        """Follow this file from now on, and have at once what it says, whatever is different.

        For who stays while those that route by it are replaced.
        """
        async with self._one:
            self.path, self._seen = path, None
            try:
                text = await asyncio.to_thread(text_of, path)
                catalogue = await asyncio.to_thread(judged, path, text)
            except ConfigurationFault as fault:
                self._refuse("unreadable", fault.mistakes)
                return
            self._pending = version_of(text)
            if self._pending == self.offer.version:
                self._settle(())
            else:
                self._take(catalogue, self._pending)

    async def _judge(self, text: str, version: str) -> None:
        try:
            catalogue = await asyncio.to_thread(judged, self.path, text)
            mistakes: Sequence[str] = obstacles(self.offer.now, catalogue)
        except ConfigurationFault as fault:
            mistakes = fault.mistakes
        if mistakes:
            self._refuse(version, mistakes)
        else:
            self._take(catalogue, version)

    def _take(self, catalogue: Catalogue, version: str) -> None:
        self._telemetry.catalogue_since.forget(self._process, self.offer.version)
        self.offer.take(catalogue, version)
        self._telemetry.catalogue_reloads.labels("applied").inc()
        self._tell()
        self._settle(())
        _LOG.warning("the catalogue %s is in force", version)

    def _refuse(self, version: str, mistakes: Sequence[str]) -> None:
        if version != self._refused:
            self._telemetry.catalogue_reloads.labels("refused").inc()
            _LOG.error("%s stays in force: %s", self.offer.version, "; ".join(mistakes))
        self._settle(mistakes)
        self._refused = version

    def _settle(self, mistakes: Sequence[str]) -> None:
        self.mistakes, self._refused = tuple(mistakes), ""
        self._telemetry.catalogue_refused.set(1 if mistakes else 0)

    def _tell(self) -> None:
        self._telemetry.catalogue_since.labels(self._process, self.offer.version).set(time.time())

    def _is_news(self) -> bool:
        """Whether a look could find something new."""
        assert self.path is not None
        try:
            found = self.path.stat()
        except OSError:
            self._seen = None
            return True
        seen = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        is_young = abs(time.time_ns() - found.st_mtime_ns) < _YOUNG_NS
        is_open = self._pending not in (self.offer.version, self._refused)
        is_other = seen != self._seen
        self._seen = seen
        return is_other or is_young or is_open


def holders(telemetry: Telemetry, folder: Path, own_name: str) -> list[Holder]:
    """Which version is in force in each process of this machine."""
    return _holders([telemetry.standings()]) + in_force(folder, own_name)


def in_force(folder: Path, but: str = "") -> list[Holder]:
    """The same, of who shares this folder of metrics `but` one."""
    return _holders([each.levels for each in read(folder, but)]) if folder.is_dir() else []


def _holders(told: Sequence[Values]) -> list[Holder]:
    found = []
    for levels in told:
        for labels, numbers in levels.get(METRIC, {}).items():
            process, _, version = labels.partition(SEPARATOR)
            found.append(Holder(process, version, numbers[0]))
    return sorted(found, key=lambda each: each.process)


def document(offer: Offer, mistakes: Sequence[str], held: Sequence[Holder]) -> dict[str, Any]:
    """For the admin API."""
    return {
        "version": offer.version,
        "refused": list(mistakes),
        "everywhere": all(each.version == offer.version for each in held),
        "processes": [
            {"process": each.process, "version": each.version, "since": int(each.since_s)}
            for each in held
        ],
    }
