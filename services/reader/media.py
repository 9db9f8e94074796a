"""What a document is: its bytes judge, since labels lie. Pure; it refuses nothing.

A label is believed where the bytes say nothing: text and markup look alike.
"""

from enum import Enum
from typing import Final

HTML_TYPES: Final = frozenset({"text/html", "application/xhtml+xml"})
TEXT_TYPES: Final = frozenset(
    {
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-yaml",
        "application/xml",
        "application/yaml",
        "message/rfc822",
    }
)
TEXT_SUFFIXES: Final = ("+json", "+xml", "+yaml")
VAGUE_TYPES: Final = frozenset({"", "application/octet-stream", "binary/octet-stream"})
XML_TYPES: Final = frozenset({"application/xml", "text/xml"})
FEED_TYPES: Final = frozenset({"application/rss+xml", "application/atom+xml"})
PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"BM", b"II*\0")
SNIFFED_BYTES: Final = 1024
MARKUP: Final = (b"<!doctype html", b"<html", b"<head", b"<body", b"<!--")
FEEDS: Final = (b"<rss", b"<feed", b"<rdf:rdf")


class Media(Enum):
    """The kinds of documents that are read, each in its own way."""

    HTML = "html"
    TEXT = "text"
    FEED = "feed"
    PDF = "pdf"
    PICTURE = "picture"
    OTHER = "other"


def kind(content_type: str, body: bytes) -> Media:
    """The kind of a document, from what it is called and from how it begins."""
    label = content_type.partition(";")[0].strip().lower()
    head = body[:SNIFFED_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n")
    signed = _by_signature(head)
    if signed is not None:
        return signed
    lowered = head.lower()
    if label in FEED_TYPES or (_is_xml(label, lowered) and any(m in lowered for m in FEEDS)):
        return Media.FEED
    if label in HTML_TYPES:
        return Media.HTML
    if label in VAGUE_TYPES or label in XML_TYPES:
        if lowered.startswith(MARKUP[:2]) or b"<html" in lowered:
            return Media.HTML
        if label in VAGUE_TYPES:
            return _unlabelled(body, lowered)
    if label.startswith("text/") or label in TEXT_TYPES or label.endswith(TEXT_SUFFIXES):
        return Media.OTHER if _is_binary(body) and label != "image/svg+xml" else Media.TEXT
    return Media.OTHER


def _by_signature(head: bytes) -> Media | None:
    if head.startswith(b"%PDF-"):
        return Media.PDF
    if head.startswith(PICTURES[:4]) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return Media.PICTURE
    if head[4:12] in (b"ftypavif", b"ftypavis"):
        return Media.PICTURE
    return None


def _is_xml(label: str, lowered: bytes) -> bool:
    return label in XML_TYPES or label in VAGUE_TYPES or lowered.startswith((b"<?xml", *FEEDS))


def _unlabelled(body: bytes, lowered: bytes) -> Media:
    if _is_binary(body):
        return Media.OTHER
    return Media.HTML if lowered.startswith(b"<") else Media.TEXT


def _is_binary(body: bytes) -> bool:
    head = body[:SNIFFED_BYTES]
    return b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff"))
