"""Tombstones: keys that were revoked while the ledger is away, refused by every node at once.

A tombstone is a mark on the copy of a balance. A newer balance does not take it away (settle.lua);
only a row that is revoked itself does, or `lift` of every name under which it was put. A name that
was lifted is void: what was written on a connection that was given up may still come. None of it
outlives Redis' memory: whoever has the revocation on his disk puts it there again.

Refuses to say whether the ledger knows: see metering/revocations.py.
"""

from pathlib import Path
from typing import Final

from gateway.admission.scripts import COPY_LIVES_MS, copy_key, tag_of
from gateway.errors import RedisUnavailable
from gateway.redis_link import RedisLink, slot_of
from gateway.units import MS_PER_S

_FOLDER: Final = Path(__file__).resolve().parent
# Longer than any network goes on with what a closed connection has sent.
_LATEST_MS: Final = 24 * 3_600 * MS_PER_S


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
        tag, keys = _keys(key_id, name)
        command = self._bury.call(keys, (name, COPY_LIVES_MS))
        reply = await self._link.write(slot_of(tag), command)
        if reply is None:
            raise RedisUnavailable(f"the tombstone {name} was lifted before")
        assert isinstance(reply, bytes)
        return reply.decode()

    async def lift(self, key_id: int, name: str) -> bool:
        """Take back the tombstone of this name; whether it was there."""
        tag, keys = _keys(key_id, name)
        command = self._lift.call(keys, (name, _LATEST_MS))
        return await self._link.write(slot_of(tag), command) == 1

    async def is_revoked(self, key_id: int) -> bool:
        """Whether Redis says so, by a tombstone or by the ledger's own word."""
        subject = f"k:{key_id}"
        tag = tag_of(subject)
        status = await self._link.call(slot_of(tag), "HGET", copy_key(tag, subject), "status")
        return status == b"revoked"


def _keys(key_id: int, name: str) -> tuple[str, tuple[str, str]]:
    """The tag; the copy, and where it is marked that this name is void."""
    subject = f"k:{key_id}"
    tag = tag_of(subject)
    return tag, (copy_key(tag, subject), f"{tag}v:{subject}:{name}")
