"""Tombstones: keys that were revoked while the ledger is away, refused by every node at once.

A tombstone is a mark on the copy of a balance. A newer balance does not take it away (settle.lua);
only a row that is revoked itself does, or `lift` under the same name. It does not outlive Redis'
memory: whoever has the revocation on his disk puts it there again.

Refuses to say whether the ledger knows: see metering/revocations.py.
"""

from pathlib import Path
from typing import Final

from gateway.admission.scripts import COPY_LIVES_MS, copy_key, tag_of
from gateway.redis_link import RedisLink, slot_of

_FOLDER: Final = Path(__file__).resolve().parent


class Tombs:
    """Make it before the link opens: it brings two scripts. All raise RedisUnavailable."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self._bury = link.script((_FOLDER / "bury.lua").read_text(encoding="utf-8"))
        self._lift = link.script((_FOLDER / "lift.lua").read_text(encoding="utf-8"))

    @property
    def can_bury(self) -> bool:
        """Whether it is worth trying: every server is connected."""
        return self._link.is_up

    async def bury(self, key_id: int, name: str) -> str:
        """From the answer on no node admits this key; the status it had before, "" unknown."""
        subject = f"k:{key_id}"
        tag = tag_of(subject)
        command = self._bury.call((copy_key(tag, subject),), (name, COPY_LIVES_MS))
        reply = await self._link.write(slot_of(tag), command)
        assert isinstance(reply, bytes)
        return reply.decode()

    async def lift(self, key_id: int, name: str) -> bool:
        """Take back the tombstone of this name; whether it was there."""
        subject = f"k:{key_id}"
        tag = tag_of(subject)
        command = self._lift.call((copy_key(tag, subject),), (name,))
        return await self._link.write(slot_of(tag), command) == 1

    async def is_revoked(self, key_id: int) -> bool:
        """Whether Redis says so, by a tombstone or by the ledger's own word."""
        subject = f"k:{key_id}"
        tag = tag_of(subject)
        status = await self._link.call(slot_of(tag), "HGET", copy_key(tag, subject), "status")
        return status == b"revoked"
