"""The fields of a POST body: JSON, form or multipart, as one mapping; and documents sent in them.

It refuses bodies that are not what their content type says, JSON that is not an object, and
documents that are not base64. Pure.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes

import orjson

from services.reader.refusals import Refusal, bad_option

FIELDS: Final = 256
# The fields that may be a document, and what one is taken for where it does not say.
DOCUMENTS: Final = {"html": "text/html", "pdf": "application/pdf", "file": ""}


@dataclass(frozen=True, slots=True)
class Upload:
    """A document that came with the request; `content_type` and `name` are empty if unknown."""

    body: bytes
    content_type: str = ""
    name: str = ""
    charset: str | None = None


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


def document(found: Mapping[str, Any]) -> Upload | Refusal | None:
    """The document among the fields, or None if a URL is to be fetched."""
    for name, kind in DOCUMENTS.items():
        value = found.get(name)
        if value is None or (value == "" and name != "html"):
            continue
        if isinstance(value, Upload):
            return Upload(value.body, value.content_type or kind, value.name, value.charset)
        if not isinstance(value, str) or not value.strip():
            return bad_option(name, f"{name} must be a string that is not empty")
        if name == "html":
            return Upload(value.encode("utf-8", "replace"), kind, "", "utf-8")
        return _decoded(name, value.strip(), kind)
    return None


def _decoded(name: str, value: str, kind: str) -> Upload | Refusal:
    """A document in base64, or in a data URL."""
    packed: str | bytes = value
    if value[:5].lower() == "data:":
        head, comma, tail = value[5:].partition(",")
        kind = head.partition(";")[0].strip().lower() or kind
        if not comma or not head.lower().endswith(";base64"):
            return Upload(unquote_to_bytes(tail), kind) if comma else _not_base64(name)
        packed = unquote_to_bytes(tail)
    body = _unpacked(packed)
    return Upload(body, kind) if body else _not_base64(name)


def _unpacked(packed: str | bytes) -> bytes:
    """Base64 of either alphabet, with or without its padding; empty if it is neither."""
    try:
        text = packed if isinstance(packed, bytes) else packed.encode("ascii")
        bare = b"".join(text.split()).rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""


def _not_base64(name: str) -> Refusal:
    return bad_option(name, f"{name} must be a document in base64")


def _gather(rows: list[tuple[str, Any]]) -> dict[str, Any]:
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
    rows: list[tuple[str, Any]] = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            rows.append((name, _part(name, part, payload)))
    return _gather(rows[:FIELDS])


def _part(name: str, part: Any, payload: bytes) -> str | Upload:
    """A document if the part has a file name or is one of the fields that are; else a text."""
    if name in DOCUMENTS and part.get_filename():
        kind = part.get_content_type() if "Content-Type" in part else ""
        return Upload(payload, kind, part.get_filename(), part.get_content_charset())
    try:
        return payload.decode(part.get_content_charset("utf-8"))
    except (LookupError, UnicodeDecodeError):
        return payload.decode("utf-8", "replace")
