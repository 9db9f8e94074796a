"""Reads catalogue files: the one in this package, and an operator's.

Refuses to judge their content; `catalogue.load` does.
"""

from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from gateway.errors import ConfigurationFault
from gateway.products.catalogue import load
from gateway.products.offer import Offer
from gateway.products.product import Catalogue

_SHOWN_DIGITS = 12


def builtin_text() -> str:
    """The text of the built-in catalogue."""
    return files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8")


def load_catalogue(path: Path | None) -> Catalogue:
    """The operator's catalogue if a path is given, else the built-in one.

    ConfigurationFault names the file in each of its mistakes.
    """
    return judged(path, text_of(path))


def open_offer(path: Path | None) -> Offer:
    """The same catalogue, in force until another is."""
    text = text_of(path)
    return Offer(judged(path, text), version_of(text))


def text_of(path: Path | None) -> str:
    """The text of the file; ConfigurationFault when it cannot be read."""
    if path is None:
        return builtin_text()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationFault([f"SLUICE_PRODUCTS: {path}: {error}"]) from error


def judged(path: Path | None, text: str) -> Catalogue:
    """The catalogue that the text of this file says; ConfigurationFault lists its mistakes."""
    if path is None:
        return load(text)
    try:
        return load(text, builtin_text())
    except ConfigurationFault as fault:
        raise ConfigurationFault([f"SLUICE_PRODUCTS: {each}" for each in fault.mistakes]) from fault


def version_of(text: str) -> str:
    """How `sha256sum` of the file begins."""
    return sha256(text.encode()).hexdigest()[:_SHOWN_DIGITS]
