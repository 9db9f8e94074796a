"""The words of the pages in each language, from the files of `texts/`.

Refuses a file with a name that a template could not reach, and to guess a language: what is missing
in one is said in English.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigurationFault

DEFAULT: Final = "en"
FOLDER: Final = Path(__file__).resolve().parent / "texts"
_WEIGHT: Final = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")
_MOST_WISHES: Final = 20
# A template that says `t.keys` gets the method of the table, not its entry.
_TAKEN: Final = frozenset(name for name in dir(dict) if not name.startswith("_"))
Words = Mapping[str, Any]


class Texts:
    """All languages there are; the names of the files are theirs."""

    def __init__(self, folder: Path = FOLDER) -> None:
        found = {path.stem: _read(path) for path in sorted(folder.glob("*.toml"))}
        if DEFAULT not in found:
            raise ConfigurationFault([f"{folder} has no {DEFAULT}.toml"])
        english = found[DEFAULT]
        order = sorted(found, key=lambda name: (name != DEFAULT, name))
        self._words = {name: _over(english, found[name]) for name in order}

    @property
    def languages(self) -> tuple[tuple[str, str], ...]:
        """Each language with its own name for itself, English first."""
        return tuple((code, str(words["language"])) for code, words in self._words.items())

    def of(self, language: str) -> Words:
        """The words of a language that `choose` has chosen."""
        return self._words[language]

    def known(self, language: str | None) -> str | None:
        """The language if there is such a file."""
        return language if language in self._words else None

    def choose(self, wished: Iterable[str | None], accept: str) -> str:
        """The first of the wishes that there is, else the best of Accept-Language."""
        for each in wished:
            if each in self._words:
                return each
        for each in _accepted(accept):
            if each in self._words:
                return each
        return DEFAULT


def _accepted(header: str) -> list[str]:
    """Languages of the header, the most wished first; `zh-TW` is `zh`."""
    wishes = []
    for place, part in enumerate(header.split(",")[:_MOST_WISHES]):
        name, _, rest = part.strip().partition(";")
        weight = _WEIGHT.fullmatch(rest.strip())
        value = float(weight[1]) if weight else (0.0 if rest.strip() else 1.0)
        if value > 0:
            wishes.append((-value, place, name.partition("-")[0].lower()))
    return [name for _, _, name in sorted(wishes)]


def _read(path: Path) -> Words:
    try:
        words = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationFault([f"{path.name}: {error}"]) from error
    wrong = sorted(_taken(words))
    if wrong:
        raise ConfigurationFault([f"{path.name}: {name} is no name for a text" for name in wrong])
    return words


def _taken(words: Words) -> Iterable[str]:
    for name, value in words.items():
        if name in _TAKEN:
            yield name
        if isinstance(value, dict):
            yield from _taken(value)


def _over(below: Words, above: Words) -> Words:
    merged = dict(below)
    for name, value in above.items():
        under = merged.get(name)
        both = isinstance(value, dict) and isinstance(under, dict)
        merged[name] = _over(under, value) if both and under is not None else value
    return merged
