"""The JSON schema that an answer must satisfy: taken in both shapes, checked, applied.

It refuses a schema that is none, one that is too large, and one that points outside of itself: a
reference is never fetched.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from jsonschema.validators import validator_for

from services.deepsearch import checking
from services.deepsearch.refusals import AskError, bad, wrong

# Larger than any schema a person wrote; each answer is checked against it.
SCHEMA_BYTES: Final = 64 * 1024
DEPTH_MOST: Final = 32
PLAIN: Final = ("text", "json_object")
SAID_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Schema:
    """A checked schema."""

    document: Mapping[str, Any]

    async def why_not(self, value: Any) -> str | None:
        """What of `value` is not as the schema says, or None where all of it is."""
        return await checking.why_not(self.document, value)


def read_schema(given: object) -> Schema | None:
    """The schema of `response_format`; None where it asks for plain text. Raises AskError."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise wrong("response_format", "response_format must be an object")
    kind = given.get("type")
    if kind in (None, "text") and "json_schema" not in given:
        return None
    if kind == "json_object":
        return Schema({"type": "object"})
    if kind not in (None, "json_schema"):
        raise wrong("response_format.type", "type must be text, json_object or json_schema")
    document = given.get("json_schema", given.get("schema"))
    if not isinstance(document, dict) or not document:
        raise _invalid("json_schema must be an object that is not empty")
    inner = document.get("schema")
    # OpenAI's wrapper has a name beside the schema; a schema of its own has a type or properties.
    if isinstance(inner, dict) and not {"type", "properties", "$ref", "anyOf"} & document.keys():
        document = inner
    return checked(document)


def checked(document: Mapping[str, Any]) -> Schema:
    """The schema, once it is known to be one. Raises AskError."""
    if len(orjson.dumps(document)) > SCHEMA_BYTES:
        raise _invalid(f"it is larger than {SCHEMA_BYTES // 1024} KiB")
    if _depth(document) > DEPTH_MOST:
        raise _invalid(f"it is nested deeper than {DEPTH_MOST} levels")
    outside = _outside(document)
    if outside is not None:
        raise _invalid(f"$ref {outside[:100]!r} points outside of the schema")
    try:
        validator_for(document, default=Draft202012Validator).check_schema(dict(document))
        _compile_patterns(document)
    except SchemaError as fault:
        place = "/".join(map(str, fault.absolute_path))
        where = f" at {place}" if place else ""
        raise _invalid(f"{fault.message[:SAID_CHARACTERS]}{where}") from None
    except (ValueError, TypeError, RecursionError, re.error) as fault:
        raise _invalid(str(fault)[:SAID_CHARACTERS]) from None
    return Schema(document)


def _invalid(why: str) -> AskError:
    return bad(f"Invalid JSON schema: {why}")


def _depth(value: object, level: int = 0) -> int:
    if level > DEPTH_MOST:
        return level
    inner: list[object] = []
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    return max((_depth(item, level + 1) for item in inner), default=level)


def _compile_patterns(value: object) -> None:
    """Raises re.error for a pattern that is none; they are applied elsewhere, under a deadline."""
    if isinstance(value, list):
        for item in value:
            _compile_patterns(item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name == "pattern" and isinstance(item, str):
                re.compile(item)
            elif name == "patternProperties" and isinstance(item, Mapping):
                for pattern in item:
                    re.compile(pattern)
            _compile_patterns(item)


def _outside(value: object) -> str | None:
    """The first reference that does not point into the schema itself."""
    if isinstance(value, list):
        return next(filter(None, map(_outside, value)), None)
    if not isinstance(value, Mapping):
        return None
    for name in ("$ref", "$dynamicRef", "$recursiveRef"):
        found = value.get(name)
        if isinstance(found, str) and not found.startswith("#"):
            return found
    return next(filter(None, map(_outside, value.values())), None)
