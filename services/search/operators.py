"""The search operators: gathered from parameters and headers, composed into the query. Pure.

Values of one operator are alternatives, several operators are conditions: `(site:a OR site:b) AND
(intitle:x)`. It refuses values that would not stay within their operator.
"""

from collections.abc import Mapping
from typing import Any, Final

from services.reader.refusals import Refusal, bad_option

NAMES: Final = ("site", "ext", "filetype", "intitle", "inurl", "loc")
# Headers come from clients that hold one value per line; a list in one is split as the reader does.
SEPARATOR: Final = ", "
VALUES: Final = 20
CHARACTERS: Final = 200

Operators = Mapping[str, tuple[str, ...]]


def gather(fields: Mapping[str, Any], headers: Mapping[str, str]) -> Operators | Refusal:
    """Every operator that the parameters or the headers X-Site, X-Ext, ... name, without blanks."""
    found: dict[str, tuple[str, ...]] = {}
    for name in NAMES:
        given = fields.get(name)
        listed = list(given) if isinstance(given, list | tuple) else [given]
        listed.append(headers.get(f"x-{name}"))
        values: list[str] = []
        for item in listed:
            if item is None:
                continue
            if not isinstance(item, str):
                return bad_option(name, f"{name} must be a string or a list of strings")
            values += [_clean(name, part) for part in item.split(SEPARATOR)]
        kept = tuple(dict.fromkeys(value for value in values if value))
        wrong = _why_not(name, kept)
        if wrong is not None:
            return bad_option(name, wrong)
        if kept:
            found[name] = kept
    return found


def compose(query: str, operators: Operators) -> str:
    """The query as providers with Google's syntax take it."""
    groups = [
        " OR ".join(f"{name}:{_quoted(value)}" for value in operators[name])
        for name in NAMES
        if operators.get(name)
    ]
    if len(groups) > 1:
        groups = [" AND ".join(f"({group})" for group in groups)]
    return " ".join(filter(None, (query, *groups)))


def _clean(name: str, value: str) -> str:
    text = " ".join(value.replace('"', " ").split())
    if name == "site":
        text = text.removeprefix("https://").removeprefix("http://").rstrip("/")
    if name in ("ext", "filetype"):
        text = text.lower().lstrip(".")
    return text


def _why_not(name: str, values: tuple[str, ...]) -> str | None:
    if len(values) > VALUES:
        return f"{name} has more than {VALUES} values"
    for value in values:
        if len(value) > CHARACTERS or not value.isprintable():
            return f"{name} must be printable and have at most {CHARACTERS} characters"
        if any(mark in value for mark in "()") or (name != "intitle" and " " in value):
            return f"{name} must not contain blanks or parentheses: {value!r}"
    return None


def _quoted(value: str) -> str:
    return f'"{value}"' if " " in value else value
