"""The room that is left where the spool is, and what follows while the ledger empties it or not.

Outcomes are written before the client's last byte; a disk that fills under admitted requests would
turn them into voids. So while PostgreSQL takes no outcomes and less than the reserve is free,
nothing that is to be charged is admitted (`Meter.short_of_room`); what needs no key goes on.

Refuses to stop anybody while the ledger empties the spool: the reserve is then for other writers.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.conditions import Conditions
from gateway.errors import SpoolUnavailable
from gateway.metering.meter import Meter
from gateway.units import MIB

LOOK_EVERY_MS: Final = 500


class DiskWatch:
    """Of one gateway process; `folder` is on the disk of the spool.

    `emptied`: whether the ledger took outcomes when it was asked last, and is asked at all.
    """

    def __init__(
        self,
        folder: Path,
        reserve_bytes: int,
        meter: Meter,
        conditions: Conditions,
        emptied: Callable[[], bool],
    ) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._meter = meter
        self._conditions = conditions
        self._emptied = emptied

    async def run_once(self) -> int:
        """Look; 0. Raises SpoolUnavailable where the disk does not even tell."""
        try:
            free_bytes = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise SpoolUnavailable(f"the disk of the spool: {error}") from error
        is_short = free_bytes < self._reserve_bytes
        self._conditions.say(
            "disk_nearly_full", f"{free_bytes // MIB} MiB are free" if is_short else ""
        )
        self._conditions.say("disk", "" if self._meter.healthy else "the disk takes no outcomes")
        self._meter.short_of_room = is_short and not self._emptied()
        return 0
