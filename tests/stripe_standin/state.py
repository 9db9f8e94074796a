"""The objects of a stand-in in a file, so that one which is run by hand may be stopped.

Promises a whole file or the one before: it is written beside and then renamed.
"""

import json
from pathlib import Path

from tests.stripe_standin.world import World


def save(world: World, file: Path) -> None:
    """Keep what the world knows."""
    told = {
        "tables": world.tables,
        "behaviour": world.behaviour,
        "offset_s": world.offset_s,
        "base_url": world.base_url,
    }
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(told))
    beside.replace(file)


def load(world: World, file: Path) -> int | None:
    """Know again what was kept; the port that the addresses in it speak of, None for no file."""
    if not file.exists():
        return None
    told = json.loads(file.read_text())
    world.tables, world.behaviour = told["tables"], told["behaviour"]
    world.offset_s = told["offset_s"]
    for kind, things in world.tables.items():
        world.kinds |= dict.fromkeys(things, kind)
    return int(str(told["base_url"]).rpartition(":")[2])
