"""The canary's own keys: one that lives in a file only we may read, and throw-away ones.

Refuses to let the first run dry, and to count any of them for an address: no address minted them.
Their owner says what they are, so that customers' figures can leave them out.
"""

import os
import secrets
from pathlib import Path
from typing import Final

from gateway.admission.gate import Gate
from gateway.control.minting import FreshKey, new_key
from gateway.errors import ConfigurationFault, RedisUnavailable
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book, ProductLimits
from gateway.ledger.rows import BalanceRow, Refusal

OWNER: Final = "sluice canary"
FILE: Final = "canary-key"
# Below the first it is filled up by the second: a day of searches costs some 15 million.
LEAST_TOKENS: Final = 2_000_000
GRANT_TOKENS: Final = 10_000_000
_THROW_AWAY_TOKENS: Final = 10_000


class CanaryKeys:
    """Mints through the ledger; `folder` is DATA_DIR."""

    def __init__(self, book: Book, gate: Gate, keys: KeyStore, prefix: str, folder: Path) -> None:
        self._book = book
        self._gate = gate
        self._keys = keys
        self._prefix = prefix
        self._path = folder / FILE

    async def own(self) -> tuple[str, int]:
        """The canary's key and its id, with tokens on it; a new one where the old is of no use."""
        text = _read(self._path)
        key_id = None if text is None else await self._keys.find(text)
        row = None if key_id is None else await self._book.load_balance(key_id)
        if text is None or row is None or row.status != "active":
            fresh = await self._mint(GRANT_TOKENS)
            _write(self._path, fresh.key)
            return fresh.key, fresh.key_id
        if row.trial + row.paid < LEAST_TOKENS:
            ref = f"canary/{row.key_id}/{secrets.token_hex(8)}"
            memory = self._gate.memory
            filled = await self._book.credit(row.key_id, GRANT_TOKENS, "trial", ref)
            if isinstance(filled, BalanceRow):
                await self._tell(filled, memory)
        return text, row.key_id

    async def throw_away(self, limits: dict[str, ProductLimits | None]) -> str:
        """A key with these limits, for one round."""
        fresh = await self._mint(_THROW_AWAY_TOKENS)
        memory = self._gate.memory
        limited = await self._book.set_limits(fresh.key_id, limits)
        assert not isinstance(limited, Refusal), "it was minted a moment ago"
        await self._tell(limited, memory)
        return fresh.key

    async def _mint(self, tokens: int) -> FreshKey:
        fresh = new_key(self._keys, self._prefix)
        await self._book.mint(*fresh.words, None, tokens, 0)
        await self._book.set_owner(fresh.key_id, OWNER)
        return fresh

    async def _tell(self, row: BalanceRow, memory: int) -> None:
        try:
            await self._gate.put_balance(row, memory)
        except RedisUnavailable:
            # The outbox brings it.
            return


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationFault([f"{path} cannot be read: {error.strerror}"]) from error


def _write(path: Path, key: str) -> None:
    # Complete under another name first: a kill in between leaves the old one.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(key + "\n")
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationFault([f"{path} cannot be written: {error.strerror}"]) from error
