"""Takes foreign answers apart: rows that are what they should be, texts that are text. Pure.

It refuses nothing loudly: a row without a usable address is no hit, a wrong field is empty. An
answer that is altogether not what was promised is a ProviderError.
"""

import html
import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from services.search.hits import Hit
from services.search.providers.port import ProviderError

TAG: Final = re.compile(r"<[^<>]{0,200}>")
URL_CHARACTERS: Final = 8192
TEXT_CHARACTERS: Final = 10_000
BLANKS: Final = re.compile(r"\s+")


def rows(document: dict[str, Any], name: str, *, needed: bool = True) -> list[dict[str, Any]]:
    """The objects of the list called `name`; a missing list is an error only where needed."""
    found = document.get(name)
    if found is None and not needed:
        return []
    if not isinstance(found, list):
        raise ProviderError(f"the answer has no list {name!r}")
    return [row for row in found if isinstance(row, dict)]


def hits(
    found: list[dict[str, Any]], read: Callable[[dict[str, Any]], Hit], count: int
) -> list[Hit]:
    """The first `count` rows that have a usable address, each address once."""
    return list(_distinct(map(read, found), count))


def _distinct(found: Iterator[Hit], count: int) -> Iterator[Hit]:
    seen: set[str] = set()
    for hit in found:
        if len(seen) >= count:
            return
        if hit.url and hit.url not in seen:
            seen.add(hit.url)
            yield hit


def url(value: object) -> str:
    """An absolute http(s) URL, or empty."""
    if not isinstance(value, str) or len(value) > URL_CHARACTERS:
        return ""
    text = value.strip()
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return ""
    return text if right and text.isprintable() and " " not in text else ""


def text(value: object) -> str:
    """Plain text on one line: without tags and entities."""
    if not isinstance(value, str):
        return ""
    bare = html.unescape(TAG.sub("", value[:TEXT_CHARACTERS]))
    # A lone surrogate has no UTF-8 form and would break the answer.
    sound = bare.encode("utf-8", "replace").decode()
    return BLANKS.sub(" ", sound).strip()


def number(value: object) -> int:
    """A size in pixels; 0 where it is none."""
    right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31
    return value if right and isinstance(value, int) else 0


def inner(row: dict[str, Any], name: str) -> dict[str, Any]:
    """The object called `name` in a row, or an empty one."""
    found = row.get(name)
    return found if isinstance(found, dict) else {}
