"""One table of a TOML file, read value by value; mistakes are collected, not raised.

It refuses unknown names too: a misspelt option must not be an ignored one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Table:
    """Every reader gives something of the right type; a mistake is noted in `mistakes`."""

    def __init__(self, place: str, entries: Mapping[str, Any], mistakes: list[str]) -> None:
        self._place = place
        self._entries = entries
        self._mistakes = mistakes
        self._read: set[str] = set()

    def word(self, name: str, choices: Sequence[str]) -> str:
        """One of `choices`; the first if absent."""
        value = self._value(name, choices[0])
        if value not in choices:
            self._wrong(name, f"must be one of {', '.join(choices)}")
            return choices[0]
        return str(value)

    def text(self, name: str, default: str) -> str:
        value = self._value(name, default)
        if not isinstance(value, str):
            self._wrong(name, "must be a string")
            return default
        return value

    def number(self, name: str, default: int | None, least: int, most: int) -> int:
        """Without a default the number is required."""
        value = self._value(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._wrong(name, f"must be a whole number from {least} to {most}")
            return least
        return value

    def folder(self, name: str) -> Path:
        value = self.text(name, "")
        if not value:
            self._wrong(name, "is missing: the folder with the ONNX files")
        return Path(value)

    def origin(self, name: str) -> str:
        """The address of a server, without a slash at its end."""
        value = self.text(name, "")
        try:
            parts = urlsplit(value)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname)
            _ = parts.port
        except ValueError:
            sound = False
        if not sound:
            self._wrong(name, "must be the address of a server, such as http://127.0.0.1:8000")
        return value.rstrip("/")

    def nothing_else(self) -> None:
        """Notes every entry that was not asked for."""
        for name in self._entries.keys() - self._read:
            self._wrong(name, "is no option of this kind of model")

    def _value(self, name: str, default: object) -> object:
        self._read.add(name)
        return self._entries.get(name, default)

    def _wrong(self, name: str, why: str) -> None:
        self._mistakes.append(f"{self._place}.{name} {why}")
