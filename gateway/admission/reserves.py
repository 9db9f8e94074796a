"""Paid tokens set aside in Redis while they are moved, so that no request is admitted on them.

1. `take`: what no running request holds, at once and under one name. It is written as a hold.
2. The ledger moves at most that.
3. `Gate.settle` of `settlement_of(...)` with the new rows releases it and shows the new balances.

Refuses to release by itself: whoever does not know whether the ledger has moved them leaves that
to the reaper, which comes when LIVES_MS are over and no statement can still be running.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.admission.ask import Settlement
from gateway.admission.scripts import copy_key, deadlines_key, holds_key, tag_of
from gateway.redis_link import RedisLink, slot_of

PRODUCT: Final = "#transfer"
INSTANCE: Final = "transfer"
LIVES_MS: Final = 30_000
_ALL: Final = -1
_FOLDER: Final = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Reserve:
    """`tokens` were set aside (0: not so many may move); `movable_tokens` could have been.

    `held_tokens` is what running requests hold. None of it counts when `is_loaded` is false:
    Redis has no copy of the balance.
    """

    tokens: int
    movable_tokens: int
    held_tokens: int
    is_loaded: bool


class Reserves:
    """Make it before the link opens: it brings a script."""

    def __init__(self, link: RedisLink, *, clock_us: int = 0) -> None:
        text = "".join(
            (_FOLDER / f"{name}.lua").read_text(encoding="utf-8") for name in ("window", "reserve")
        )
        self._script = link.script(text)
        self._link = link
        self._clock_us = clock_us

    async def take(self, key_id: int, name: str, tokens: int | None) -> Reserve:
        """Set `tokens` (None: all that may move) of a key aside.

        Raises RedisUnavailable, also while it may not know all holds (see `comeback`).
        """
        subject = f"k:{key_id}"
        tag = tag_of(subject)
        command = self._script.call(
            (holds_key(tag, subject), deadlines_key(tag), copy_key(tag, subject)),
            (
                self._clock_us,
                name,
                _ALL if tokens is None else tokens,
                LIVES_MS,
                PRODUCT,
                INSTANCE,
            ),
        )
        reply = await self._link.ask_trusted(slot_of(tag), command)
        assert isinstance(reply, list)
        taken, movable, held = reply
        return Reserve(max(taken, 0), movable, held, taken >= 0)


def settlement_of(key_id: int, name: str) -> Settlement:
    """What releases a reserve, together with the balance that follows."""
    subject = f"k:{key_id}"
    return Settlement(subject, tag_of(subject), PRODUCT, name, None)
