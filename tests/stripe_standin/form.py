"""Form-encoded parameters with brackets in their names, read with types.

Refuses what a field cannot be, with the field's whole name: `line_items[0][quantity]`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.stripe_standin.errors import ApiError, Obj, invalid

_MOST_METADATA = 50
_MOST_METADATA_NAME = 40
_MOST_METADATA_VALUE = 500


def decode(pairs: Iterable[tuple[str, str]]) -> Obj:
    """`a[b][0]=x` as nested dicts; a list is a dict whose keys count up; `a[]` appends."""
    tree: Obj = {}
    for name, value in pairs:
        first, *rest = name.replace("]", "").split("[")
        node, key = tree, first
        for part in rest:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                raise invalid(f"Invalid object: {name}", first)
            node, key = below, part or str(len(below))
        node[key] = value
    return tree


@dataclass(frozen=True, slots=True)
class Params:
    """One level of the parameters; every getter answers None for what was not sent."""

    values: Obj = field(default_factory=dict)
    path: str = ""

    def full(self, name: str) -> str:
        """The whole name of a field of this level."""
        return f"{self.path}[{name}]" if self.path else name

    def has(self, name: str) -> bool:
        """Whether it was sent, even empty."""
        return name in self.values

    def text(
        self, name: str, *, among: Iterable[str] | None = None, most: int = 5000
    ) -> str | None:
        """A string; an empty one is how a form says null."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {value}", self.full(name))
        if len(value) > most:
            told = f"Invalid string: must be at most {most} characters"
            raise invalid(told, self.full(name))
        if among is not None and value not in set(among):
            known = ", ".join(sorted(among))
            told = f"Invalid {self.full(name)}: must be one of {known}"
            raise invalid(told, self.full(name))
        return value

    def need(self, name: str, *, among: Iterable[str] | None = None) -> str:
        """A string that must be there."""
        value = self.text(name, among=among)
        if value is None:
            raise self.lacks(name)
        return value

    def lacks(self, name: str) -> ApiError:
        """The refusal for a field that must be there."""
        full = self.full(name)
        return invalid(f"Missing required param: {full}.", full, "parameter_missing")

    def whole(self, name: str, *, least: int | None = None, most: int | None = None) -> int | None:
        """An integer in bounds."""
        value = self.text(name)
        if value is None:
            return None
        try:
            number = int(value)
        except ValueError:
            told = f"Invalid integer: {value}"
            raise invalid(told, self.full(name), "parameter_invalid_integer") from None
        if (least is not None and number < least) or (most is not None and number > most):
            told = f"This value must be between {least} and {most}"
            raise invalid(told, self.full(name), "parameter_invalid_integer")
        return number

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        value = self.text(name, among=("true", "false"))
        return None if value is None else value == "true"

    def inner(self, name: str) -> "Params":
        """The level below, empty when it was not sent."""
        value = self.values.get(name, {})
        if value == "":
            return Params({}, self.full(name))
        if not isinstance(value, dict):
            raise invalid("Invalid object", self.full(name))
        return Params(value, self.full(name))

    def items(self, name: str) -> list["Params"]:
        """A list of objects."""
        level = self.inner(name)
        return [level.inner(index) for index in _in_order(level)]

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        level = self.inner(name)
        return [level.need(index) for index in _in_order(level)]

    def metadata(self, name: str = "metadata") -> dict[str, str]:
        """Names and values within the limits."""
        level = self.inner(name)
        if len(level.values) > _MOST_METADATA:
            raise invalid("Metadata can have at most 50 keys", level.path)
        told = {key: str(value) for key, value in level.values.items() if value != ""}
        for key, value in told.items():
            if len(key) > _MOST_METADATA_NAME or len(value) > _MOST_METADATA_VALUE:
                raise invalid("Metadata: a name or a value is too long", level.full(key))
        return told


def _in_order(level: Params) -> list[str]:
    if not all(name.isdigit() for name in level.values):
        raise invalid("Invalid array", level.path)
    return sorted(level.values, key=int)
