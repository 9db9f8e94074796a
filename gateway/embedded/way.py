"""As whom PostgreSQL runs: it refuses to be root, so root starts it as somebody else.

Refuses to change the way of a folder that exists: its files belong to whoever made them. The way
is recorded beside the cluster when that is made.

    plain       we are not root; the server runs as we do
    namespace   we are root; in a user namespace in which root is called nobody (files stay root's)
    setpriv     we are root without user namespaces; the server and its files are nobody's
"""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.embedded.binaries import postgres_folder
from gateway.embedded.faults import EmbeddedFault

Name = Literal["plain", "namespace", "setpriv"]
_NOBODY = 65_534
_TRY_S = 10


@dataclass(frozen=True, slots=True)
class Way:
    """A way, and the command that execs the rest in it; `owner` when the files change hands."""

    name: Name
    before: Sequence[str]
    owner: tuple[int, int] | None = None


def possible_ways(folder: Path) -> list[Way]:
    """The ways in which we can run a server whose files are below `folder`, best first."""
    if os.geteuid() != 0:
        return [Way("plain", ())]
    return [way for way in (_namespace(), _setpriv(_NOBODY, _NOBODY)) if _works(way, folder)]


def choose_way(folder: Path) -> Way:
    """The recorded way of `folder`, else the best possible; raises EmbeddedFault with advice."""
    recorded = _recorded(folder)
    if recorded is None:
        ways = possible_ways(folder)
        if not ways:
            raise EmbeddedFault(
                "PostgreSQL refuses to run as root, and neither `unshare --user` nor `setpriv "
                f"--reuid` lets it run below {folder}: start as an ordinary user, or set "
                "SLUICE_DATABASE_URL"
            )
        return ways[0]
    status = (folder / "cluster").stat()
    if os.geteuid() != 0:
        if status.st_uid != os.geteuid():
            raise EmbeddedFault(
                f"{folder} belongs to user {status.st_uid}: start as that user, "
                "or set SLUICE_DATA_DIR to another folder"
            )
        return Way("plain", ())
    if recorded == "namespace" or status.st_uid == 0:
        way = _namespace()
    else:
        way = _setpriv(status.st_uid, status.st_gid)
    if not _works(way, folder):
        raise EmbeddedFault(
            f"{folder} was made with {way.before[0]}, which no longer works for root here"
        )
    return way


def record_way(folder: Path, way: Way) -> None:
    """Write down the way in which the cluster of `folder` was made."""
    (folder / "way").write_text(f"{way.name}\n", encoding="utf-8")


def _recorded(folder: Path) -> str | None:
    try:
        text = (folder / "way").read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return text if (folder / "cluster").is_dir() else None


def _namespace() -> Way:
    who = (f"--map-user={_NOBODY}", f"--map-group={_NOBODY}")
    return Way("namespace", ("unshare", "--user", *who, "--"))


def _setpriv(uid: int, gid: int) -> Way:
    who = (f"--reuid={uid}", f"--regid={gid}", "--clear-groups")
    return Way("setpriv", ("setpriv", *who, "--"), owner=(uid, gid))


def _works(way: Way, folder: Path) -> bool:
    # The binary must be reachable for the other user, and the folders above the files as well.
    check = '"$0" --version && cd "$1"'
    server = str(postgres_folder() / "postgres")
    command = [*way.before, "/bin/sh", "-c", check, server, str(folder.parent)]
    try:
        tried = subprocess.run(  # noqa: S603 - our own argv
            command,
            capture_output=True,
            timeout=_TRY_S,
            check=False,
            env={"PATH": os.defpath},
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0
