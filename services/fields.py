"""Reads the fields of a JSON body one by one, as the api. services promise them. Pure.

It refuses wrong types and ranges with the place of the mistake (422), by raising FieldError; what
is absent and what is null are the same, and unknown fields are nobody's business.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.api_refusals import Refusal, invalid

TRUE: Final = frozenset({"true", "1"})
FALSE: Final = frozenset({"false", "0"})


class FieldError(Exception):
    """A field is wrong; the refusal says which and why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def wrong(where: Sequence[str | int], message: str, kind: str = "value_error") -> FieldError:
    """A field of the wrong type, at its place below the body: 422."""
    return FieldError(invalid(("body", *map(str, where)), message, kind))


def beyond(where: Sequence[str | int], code: str, message: str) -> FieldError:
    """A field of the right type that is more, less or other than what is offered: 400."""
    return FieldError(Refusal(400, code, message, ("body", *map(str, where))))


class Fields:
    """The top level of a body. Every reader raises FieldError."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def given(self, name: str) -> Any:
        """The value as it came; None if absent."""
        return self._values.get(name)

    def needed(self, name: str) -> Any:
        """The value as it came, which must not be absent."""
        value = self._values.get(name)
        if value is None:
            raise wrong((name,), "Field required", "missing")
        return value

    def text(self, name: str) -> str | None:
        value = self.given(name)
        if value is not None and not isinstance(value, str):
            raise wrong((name,), "Input should be a valid string", "string_type")
        return value

    def switch(self, name: str, default: bool) -> bool:
        """A boolean, also in the spellings of forms: "true", "0"."""
        value = self.given(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        word = str(value).strip().lower() if isinstance(value, str | int) else ""
        if word not in TRUE | FALSE:
            raise wrong((name,), "Input should be a valid boolean", "bool_parsing")
        return word in TRUE

    def whole(self, name: str, least: int, most: int | None = None) -> int | None:
        """A whole number from `least` to `most`; 5.0 is one, true is none."""
        value = self.given(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong((name,), "Input should be a valid integer", "int_type")
        if value < least:
            message = f"Input should be greater than or equal to {least}"
            raise wrong((name,), message, "greater_than_equal")
        if most is not None and value > most:
            raise wrong((name,), f"Input should be less than or equal to {most}", "less_than_equal")
        return value

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        value = self.text(name)
        if value is not None and value not in choices:
            listed = ", ".join(choices)
            raise wrong((name,), f"Input should be one of: {listed}", "enum")
        return value
