"""Reads catalogue files: the one in this package, and an operator's.

Refuses to judge their content; `catalogue.load` does.
"""

from importlib.resources import files
from pathlib import Path

from gateway.errors import ConfigurationFault
from gateway.products.catalogue import load
from gateway.products.product import Catalogue


def builtin_text() -> str:
    """The text of the built-in catalogue."""
    return files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")


def load_catalogue(path: Path | None) -> Catalogue:
    """The operator's catalogue if a path is given, else the built-in one.

    ConfigurationFault names the file in each of its mistakes.
    """
    if path is None:
        return load(builtin_text())
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault([f"SLUICE_PRODUCTS: {path}: {error}"]) from error
    try:
        return load(text, builtin_text())
    except ConfigurationFault as fault:
        raise ConfigurationFault([f"SLUICE_PRODUCTS: {each}" for each in fault.mistakes]) from fault
