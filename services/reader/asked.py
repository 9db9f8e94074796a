"""One option of a request at a time, as its header or its body field has it. Pure.

A body field wins over its header; an empty value is an absent one. It refuses wrong values by
raising OptionError, which carries the refusal.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.reader.refusals import Refusal, bad_option, not_available

OFF: Final = frozenset({"false", "0", "no"})
SELECTOR_CHARACTERS: Final = 2048
HEADER_CHARACTERS: Final = 4096


class OptionError(Exception):
    """An option is wrong, or this deployment does not have it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def wrong(name: str, message: str) -> OptionError:
    """The error for an option whose value is not one of the contract's."""
    return OptionError(bad_option(name, message))


class Asked:
    """The headers and body fields of one request; the fields are empty on GET."""

    def __init__(self, headers: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        self._headers = headers
        self._fields = fields

    def get(self, header: str, name: str) -> Any:
        """The body field, else the header, else None."""
        value = self._fields.get(name)
        if value is None or value == "":
            value = self._headers.get(header) if header else None
        return None if value == "" else value

    def text(self, header: str, name: str) -> str | None:
        value = self.get(header, name)
        if value is None or isinstance(value, str):
            return value
        raise wrong(name, f"{name} must be a string")

    def word(self, header: str, name: str) -> str:
        """The text in lower case; empty if there is none. A body's booleans are their words."""
        value = self.get(header, name)
        if isinstance(value, bool):
            return "true" if value else "false"
        return (self.text(header, name) or "").strip().lower()

    def switch(self, header: str, name: str) -> bool:
        """A header is on whatever it says; a body field says what it says."""
        value = self.get(header, name)
        if isinstance(value, str) and name in self._fields:
            return value.strip().lower() not in OFF
        return bool(value)

    def number(self, header: str, name: str, least: int) -> int | None:
        value = self.get(header, name)
        if value is None:
            return None
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value.strip()[:18])
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(name, f"{name} must be an integer of at least {least}")
        return min(value, 2**53)

    def choice(
        self,
        header: str,
        name: str,
        known: frozenset[str],
        later: frozenset[str] = frozenset(),
    ) -> str | None:
        """One of the `known` words, or None; `later` ones are of the contract but not here."""
        text = self.text(header, name)
        if text is None:
            return None
        word = text.strip().lower()
        if word in later:
            raise OptionError(not_available(name, f"{name} {word!r}"))
        if word not in known:
            listed = ", ".join(sorted(known | later))
            raise wrong(name, f"{name} must be one of {listed}, not {text!r}")
        return word

    def texts(self, header: str, name: str) -> tuple[str, ...]:
        """Every string of a list, or of one string; both are split at comma and blank."""
        value = self.get(header, name)
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in listed):
            raise wrong(name, f"{name} must be a string or a list of strings")
        return tuple(part.strip() for item in listed for part in item.split(", ") if part.strip())

    def selectors(self, header: str, name: str) -> tuple[str, ...]:
        found = self.texts(header, name)
        for selector in found:
            if selector.startswith(("*", ":")) or len(selector) > SELECTOR_CHARACTERS:
                reason = f"Unacceptable selector: {selector[:80]!r}. It must begin with a tag, "
                raise wrong(name, reason + "a class, an id or an attribute")
        return found

    def header_text(self, header: str, name: str) -> str | None:
        """A text that can be sent as the value of a header."""
        value = self.text(header, name)
        if value is not None:
            check_header(name, value)
        return value

    def record(self, name: str) -> Mapping[str, Any]:
        """An object of the body; empty if there is none."""
        value = self._fields.get(name)
        if value is None or value == "":
            return {}
        if not isinstance(value, dict):
            raise wrong(name, f"{name} must be an object")
        return value

    def style_headers(self) -> dict[str, str]:
        """Every `x-md-*` header that says something, by the camelCase name of its body field."""
        found = {}
        for name, value in self._headers.items():
            if name.lower().startswith("x-md-") and value:
                first, *rest = name.lower().removeprefix("x-md-").split("-")
                found[first + "".join(word.capitalize() for word in rest)] = value
        return found


def check_header(name: str, value: str) -> None:
    """Raises OptionError unless `value` can be sent as a header's value."""
    if not (value.isascii() and value.isprintable() and len(value) <= HEADER_CHARACTERS):
        raise wrong(name, f"{name} has characters that a header cannot carry")
