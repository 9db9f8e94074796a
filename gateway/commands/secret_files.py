"""Secrets made once, at the first start, each in a file of its own that only we may read.

Refuses to replace one: a new pepper would make every key unknown, so an empty or damaged file is
a fault with advice and not a reason to make another.
"""

import os
import secrets
from pathlib import Path

from gateway.errors import ConfigurationFault

_BYTES = 32
_SHORTEST = 16


def keep_secret(folder: Path, name: str, setting: str) -> str:
    """The secret in `folder`/`name`; made if there is none. `setting` could replace it."""
    path = folder / name
    try:
        # Complete under another name first: a kill in between must not leave an empty secret.
        fresh = folder / f".{name}.{os.getpid()}"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(secrets.token_urlsafe(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        found = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationFault([f"{path} cannot be read or made: {error.strerror}"]) from error
    if len(found) < _SHORTEST:
        raise ConfigurationFault(
            [f"{path} holds no secret of {_SHORTEST} characters: restore it, or set {setting}"]
        )
    return found
