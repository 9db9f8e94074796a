"""Reads one table of a TOML file field by field, and notes every mistake instead of raising.

Refuses to know products: it knows types, bounds and names, and how to say what is wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_SHOWN_CHARACTERS: Final = 40


def shown(value: object) -> str:
    """A value as it may stand in a sentence: short, quoted if it is text."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


class Section:
    """A table under its dotted name; each field is asked for once, `close` complains of the rest.

    Every method answers a usable value even after a mistake, so that reading goes on and all
    mistakes are found at once.
    """

    def __init__(self, name: str, table: Mapping[str, Any], mistakes: list[str]) -> None:
        self.name = name
        self.mistakes = mistakes
        self._table = table
        self._known: dict[str, None] = {}

    def wrong(self, field: str, sentence: str) -> None:
        """Note a mistake in a field."""
        self.mistakes.append(f"{self.name}.{field} {sentence}")

    def given(self, field: str) -> Any:
        """The raw value, None if the file does not give it."""
        self._known[field] = None
        return self._table.get(field)

    def integer(self, field: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number from low to high; without a default it must be given."""
        value = self.given(field)
        if value is None:
            if default is None:
                self.wrong(field, "is missing")
                return low
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(field, f"must be a whole number, not {shown(value)}")
        elif not low <= value <= high:
            self.wrong(field, f"must be between {low} and {high}, not {value}")
        else:
            return value
        return low

    def optional(self, field: str, low: int, high: int) -> int | None:
        """A whole number from low to high, or None if it is not given."""
        return None if self.given(field) is None else self.integer(field, low, high)

    def boolean(self, field: str) -> bool:
        """true or false; false if not given."""
        value = self.given(field)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.wrong(field, f"must be true or false, not {shown(value)}")
        return False

    def text(self, field: str, *, needed: bool) -> str | None:
        """A text that is not empty."""
        value = self.given(field)
        if value is None:
            if needed:
                self.wrong(field, "is missing")
            return None
        if not isinstance(value, str) or not value:
            self.wrong(field, f"must be a text, not {shown(value)}")
            return None
        return value

    def one_of(self, field: str, choices: Sequence[str]) -> str:
        """One word of a closed set."""
        value = self.text(field, needed=True)
        if value is None:
            return choices[0]
        if value not in choices:
            self.wrong(field, f"must be one of {', '.join(choices)}, not {shown(value)}")
            return choices[0]
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """A list of texts without repeats; a single text stands for a list of one."""
        value = self.given(field)
        if value is None:
            self.wrong(field, "is missing")
            return ()
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, list) or not value or not all(_is_text(each) for each in value):
            self.wrong(field, f"must be a list of texts, not {shown(value)}")
            return ()
        if len(set(value)) < len(value):
            self.wrong(field, f"names {shown(_first_repeat(value))} twice")
        return tuple(value)

    def table(self, field: str) -> "Section | None":
        """A table inside this one; None (noted) if it is missing or something else."""
        value = self.given(field)
        if isinstance(value, dict):
            return Section(f"{self.name}.{field}", value, self.mistakes)
        if value is None:
            self.wrong(field, "is missing")
        else:
            self.wrong(field, f"must be a table such as {{ rpm = 20 }}, not {shown(value)}")
        return None

    def close(self) -> None:
        """Complain of every field that nobody asked for: most often a typo."""
        for field in self._table:
            if field not in self._known:
                self.wrong(field, f"is no field here; there are {', '.join(self._known)}")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _first_repeat(values: Iterable[str]) -> str:
    seen: set[str] = set()
    for each in values:
        if each in seen:
            return each
        seen.add(each)
    raise AssertionError("called only when a value is repeated")
