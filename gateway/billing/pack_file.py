"""Reads the file of packs: the one in this package, or an operator's.

Refuses to judge its content; `packs` does.
"""

from importlib.resources import files
from pathlib import Path

from gateway.billing.packs import Packs, read_packs
from gateway.errors import ConfigurationFault


def load_packs(path: Path | None) -> Packs:
    """The operator's packs if a path is given, else the built-in ones; mistakes name the file."""
    if path is None:
        return read_packs(files(__package__).joinpath("packs.toml").read_text(encoding="utf-8"))
    try:
        return read_packs(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault([f"SLUICE_PACKS: {path}: {error}"]) from error
    except ConfigurationFault as fault:
        raise ConfigurationFault([f"SLUICE_PACKS: {each}" for each in fault.mistakes]) from fault
