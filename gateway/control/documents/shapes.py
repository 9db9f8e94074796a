"""Short words for JSON schemas (2020-12), so that an area reads like a table.

Refuses to validate: a test holds the whole document against the meta-schema of OpenAPI.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
DAY: Final[Schema] = {"type": "string", "format": "date"}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
ANYTHING: Final[Schema] = {"type": "object"}


def answer(fields: Mapping[str, Schema], optional: str = "", told: str = "") -> Schema:
    """An object that we send: every field is there but those named in `optional`."""
    left_out = set(optional.split())
    assert left_out <= fields.keys(), left_out - fields.keys()
    needed = [name for name in fields if name not in left_out]
    schema: Schema = {"type": "object", "properties": dict(fields), "required": needed}
    return {**schema, "description": told} if told else schema


def request(fields: Mapping[str, Schema], needed: str = "", told: str = "") -> Schema:
    """An object that a client sends: only the fields named in `needed` must be there."""
    names = needed.split()
    assert set(names) <= fields.keys(), set(names) - fields.keys()
    schema: Schema = {"type": "object", "properties": dict(fields)}
    if names:
        schema["required"] = names
    return {**schema, "description": told} if told else schema


def ref(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """A list."""
    schema: Schema = {"type": "array", "items": items}
    if least:
        schema["minItems"] = least
    return schema if most is None else {**schema, "maxItems": most}


def either(*schemas: Schema) -> Schema:
    """Any of these."""
    return {"anyOf": list(schemas)}


def maybe(schema: Schema) -> Schema:
    """This or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return either(schema, {"type": "null"})


def one_of(*words: str, default: str | None = None) -> Schema:
    """One of these words."""
    schema: Schema = {"type": "string", "enum": list(words)}
    return schema if default is None else {**schema, "default": default}


def whole(least: int, most: int | None = None, default: int | None = None) -> Schema:
    """A whole number within bounds."""
    schema: Schema = {"type": "integer", "minimum": least}
    if most is not None:
        schema["maximum"] = most
    return schema if default is None else {**schema, "default": default}


def by_name(values: Schema) -> Schema:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": values}


def told(schema: Schema, text: str) -> Schema:
    """The same, with a sentence about it."""
    return {**schema, "description": text}


def of_product(names: Sequence[str]) -> Schema:
    """The name of a product."""
    return {"type": "string", "enum": list(names)}
