"""Names of subjects in the arrival log: a keyed hash, so that the log holds no key and no address.

Refuses to be turned round without the pepper of the keys; with it, a key's id gives its name.
"""

from collections.abc import Callable
from hashlib import blake2b, sha256
from typing import Final

from gateway.arrivals.form import SUBJECT_BYTES

_MOST_KEPT: Final = 100_000
_PURPOSE: Final = b"sluice arrival log\n"


def pseudonyms(pepper: bytes) -> Callable[[str], bytes]:
    """The name of each subject (`k:<key id>`, `a:<address>`) under this pepper."""
    key = sha256(_PURPOSE + pepper).digest()
    kept: dict[str, bytes] = {}

    def name_of(subject: str) -> bytes:
        found = kept.get(subject)
        if found is None:
            if len(kept) >= _MOST_KEPT:
                kept.clear()
            found = blake2b(subject.encode(), digest_size=SUBJECT_BYTES, key=key).digest()
            kept[subject] = found
        return found

    return name_of
