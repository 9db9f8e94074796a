"""Who of this Sluice runs on this machine, and whether it is the one that listens on a port.

Its processes are those that tell their numbers in its folder; each holds a lock there while it
lives. Refuses to take a process for ours by its name.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from gateway.control.reload import in_force
from gateway.settings import Settings

# As /proc/net/tcp has it: local address in the second column, state, inode.
_ADDRESS, _STATE, _INODE = 1, 3, 9
_LISTENS: Final = "0A"


def running_here(settings: Settings) -> Sequence[int]:
    """The processes that live on this data folder, whoever started the others first."""
    # What is there by another name than ours is nobody of ours.
    with suppress(OSError, ValueError):
        names = [each.process.rpartition("-") for each in in_force(settings.metrics_dir)]
        names.sort(key=lambda name: name[0] != "operations")
        return [int(pid) for _, _, pid in names]
    return ()


def listener(pids: Sequence[int], port: int) -> int | None:
    """The first of them that listens there; None also when anybody else does."""
    listening = set(_listening(port))
    holders = {pid: listening & set(_sockets_of(pid)) for pid in pids}
    if not listening or listening - set().union(*holders.values()):
        return None
    return next(pid for pid, held in holders.items() if held)


def _listening(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
                fields = line.split()
                number = int(fields[_ADDRESS].rpartition(":")[2], 16)
                if fields[_STATE] == _LISTENS and number == port:
                    yield f"socket:[{fields[_INODE]}]"


def _sockets_of(pid: int) -> Iterator[str]:
    """What we may see of it: nothing of another user's."""
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                yield str(entry.readlink())
