"""What a usage export and its digests look like outside: CSV, JSON lines, and two JSON documents.

Refuses to guess: what is not in one of these forms is a FormError that names the place.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import orjson

from gateway.ledger.digests import FIELDS, NUMBERS, SEPARATOR, ClosedDay, KeyDay

_HEADER: Final = ",".join(FIELDS)
_LEFT: Final = "left"
_RIGHT: Final = "right"


class Form(StrEnum):
    """How lines are written."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def content_type(self) -> str:
        """For the HTTP header."""
        return "text/csv" if self is Form.CSV else "application/x-ndjson"


class FormError(Exception):
    """A file is not what it should be."""


def header(form: Form) -> bytes:
    """What stands before the first line."""
    return f"{_HEADER}\n".encode() if form is Form.CSV else b""


def encode(form: Form, lines: Iterable[str]) -> bytes:
    """Canonical lines in this form."""
    if form is Form.JSONL:
        return b"".join(orjson.dumps(_document(line)) + b"\n" for line in lines)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(line.split(SEPARATOR) for line in lines)
    return text.getvalue().encode()


def _document(line: str) -> dict[str, str | int | None]:
    found: dict[str, str | int | None] = {}
    for name, text in zip(FIELDS, line.split(SEPARATOR), strict=True):
        found[name] = text if name not in NUMBERS else int(text) if text else None
    return found


def decode(file: Iterable[str]) -> Iterator[str]:
    """Canonical lines of an export in either form. Raises FormError."""
    lines = iter(file)
    first = next(lines, "")
    if first.startswith("{"):
        yield _canonical(first, 1)
        for number, text in enumerate(lines, 2):
            yield _canonical(text, number)
    elif first.strip() == _HEADER:
        for number, row in enumerate(csv.reader(lines), 2):
            if len(row) != len(FIELDS):
                raise FormError(f"line {number} has {len(row)} fields and not {len(FIELDS)}")
            yield SEPARATOR.join(row)
    elif first.strip():
        raise FormError("this is neither JSON lines nor CSV with the header of an export")


def _canonical(text: str, number: int) -> str:
    try:
        document = orjson.loads(text)
        values = [document[name] for name in FIELDS]
    except (ValueError, KeyError, TypeError) as error:
        raise FormError(f"line {number} is no line of an export: {error}") from error
    return SEPARATOR.join("" if value is None else str(value) for value in values)


def key_days_document(key_id: str, days: Sequence[KeyDay]) -> dict[str, Any]:
    """The answer of `GET /v1/keys/me/usage/days`."""
    return {
        "key_id": key_id,
        "items": [
            {
                "day": day.day,
                "after_seq": day.after_seq,
                "upto_seq": day.upto_seq,
                "lines": day.lines,
                "tokens": day.tokens,
                "previous": day.previous.hex(),
                "digest": day.digest.hex(),
                "path": [
                    {"side": _LEFT if on_the_left else _RIGHT, "hash": neighbour.hex()}
                    for on_the_left, neighbour in day.path
                ],
            }
            for day in days
        ],
    }


def closed_days_document(days: Sequence[ClosedDay]) -> dict[str, Any]:
    """The answer of `GET /v1/closed-days`."""
    return {
        "items": [
            {
                "day": day.day,
                "previous": day.previous.hex(),
                "root": day.root.hex(),
                "digest": day.digest.hex(),
            }
            for day in days
        ]
    }


def read_key_days(content: bytes) -> tuple[str, list[KeyDay]]:
    """The key's public id and its days. Raises FormError."""
    try:
        document = orjson.loads(content)
        return str(document["key_id"]), [_key_day(item) for item in document["items"]]
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise FormError(f"these are no digests of a key's days{_because(error)}") from error


def _because(error: Exception) -> str:
    """What a person can do something with: Python's own words for a wrong type are none."""
    if isinstance(error, orjson.JSONDecodeError):
        return f": no JSON at line {error.lineno}, column {error.colno}"
    return f": {error} is missing" if isinstance(error, KeyError) else ""


def _key_day(item: Mapping[str, Any]) -> KeyDay:
    return KeyDay(
        str(item["day"]),
        int(item["after_seq"]),
        int(item["upto_seq"]),
        int(item["lines"]),
        int(item["tokens"]),
        bytes.fromhex(item["previous"]),
        bytes.fromhex(item["digest"]),
        tuple((step["side"] == _LEFT, bytes.fromhex(step["hash"])) for step in item["path"]),
    )


def read_closed_days(content: bytes) -> list[ClosedDay]:
    """What was published. Raises FormError."""
    try:
        return [
            ClosedDay(
                str(item["day"]),
                bytes.fromhex(item["previous"]),
                bytes.fromhex(item["root"]),
                bytes.fromhex(item["digest"]),
            )
            for item in orjson.loads(content)["items"]
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise FormError(f"these are no published digests{_because(error)}") from error
