"""The fields of a POST body: JSON, form or multipart, as one mapping. Pure.

It refuses bodies that are not what their content type says, and JSON that is not an object.
"""

from collections.abc import Mapping
from email import policy
from email.parser import BytesParser
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from services.reader.refusals import Refusal, bad_option

FIELDS: Final = 256


def fields(content_type: str, body: bytes) -> Mapping[str, Any] | Refusal:
    """The fields by name; a repeated form field keeps its values as a list."""
    if not body.strip():
        return {}
    kind = content_type.partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            return _gather(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS))
        if kind == "multipart/form-data":
            return _multipart(content_type, body)
        found = orjson.loads(body)
    except (ValueError, RecursionError):
        return bad_option("body", f"The body is not valid {kind or 'application/json'}")
    if not isinstance(found, dict):
        return bad_option("body", "The body must be a JSON object")
    return found


def _gather(rows: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for written, value in rows:
        name = written.removesuffix("[]")
        before = found.get(name)
        if before is None:
            found[name] = value
        else:
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
    return found


def _multipart(content_type: str, body: bytes) -> Mapping[str, Any] | Refusal:
    head = b"Content-Type: " + content_type.encode("latin-1", "replace") + b"\r\n\r\n"
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    if not message.is_multipart():
        return bad_option("body", "The body is not valid multipart/form-data")
    rows = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            charset = part.get_content_charset("utf-8")
            rows.append((name, _decoded(payload, charset)))
    return _gather(rows[:FIELDS])


def _decoded(payload: bytes, charset: str) -> str:
    try:
        return payload.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return payload.decode("utf-8", "replace")
