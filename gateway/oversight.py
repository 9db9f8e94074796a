"""What the worker watches over: the books, the days that are over, and the front door itself.

Wires, never handles.
"""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway.commands.ports import reachable
from gateway.control.canary import Canary, Plan
from gateway.control.canary_door import PublicDoor
from gateway.control.canary_keys import CanaryKeys
from gateway.control.rounds import Rounds
from gateway.ground import Ground, ops_parts
from gateway.keys.store import key_store
from gateway.ledger.canary import CanaryLog
from gateway.ledger.closing import Closer
from gateway.settings import Settings
from gateway.sql import load_queries

Work = tuple[Callable[[], Awaitable[int]], str, int]
_PAGE = "https://example.com/"
_CLOSE_EVERY_MS = 60_000
_LOOK_EVERY_MS = 1_000


def oversight(base: Ground) -> tuple[Work, ...]:
    """The works of one process per machine, each with its name and its pause in milliseconds."""
    queries = load_queries()
    closer, shown = Closer(base.postgres, queries), base.telemetry.closed_until.labels()
    rounds = Rounds(ops_parts(base).proof, base.settings.reconcile_every_ms)

    async def close() -> int:
        closed = await closer.close_next()
        if closer.next_day is not None:
            begin = datetime.combine(closer.next_day, datetime.min.time(), UTC)
            shown.set(int(begin.timestamp()), time.time())
        return int(closed is not None)

    works: tuple[Work, ...] = (
        (close, "closing", _CLOSE_EVERY_MS),
        (rounds.run_once, "proof", _LOOK_EVERY_MS),
    )
    pepper = _pepper(base.settings)
    if pepper is None:
        return works
    canary = _canary(base, pepper, CanaryLog(base.postgres, queries))
    return (*works, (canary.run_once, "canary", _LOOK_EVERY_MS))


def _canary(base: Ground, pepper: str, log: CanaryLog) -> Canary:
    settings, names = base.settings, base.catalogue.products
    keys = CanaryKeys(
        base.book,
        base.gate,
        key_store(base.book, pepper, settings.key_prefix),
        settings.key_prefix,
        settings.data_dir,
    )
    plan = Plan(
        frozenset(settings.canary_products or names) & frozenset(names),
        settings.canary_page or _PAGE,
        settings.canary_every_ms,
        settings.canary_keys_every_ms,
    )
    door = PublicDoor(settings.canary_door or _own_door(settings))
    return Canary(plan, door, keys, log, base.telemetry)


def _own_door(settings: Settings) -> str:
    host = reachable(settings.bind)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _pepper(settings: Settings) -> str | None:
    """The secret of the keys, if this machine has it: who has not can mint no key."""
    if settings.key_pepper is not None:
        return settings.key_pepper
    path: Path = settings.data_dir / "key-pepper"
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
