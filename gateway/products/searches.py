"""What a search asks for, as far as its price depends on it: results, medium, pages.

Refuses to be smaller than the service: of what is named twice, or cannot be read, the dearest
counts. Numbers that the service refuses cost nothing, whatever is held for them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

RESULTS_PER_PRICE: Final = 10
# Images and news cost a provider more, and so does Bing (wire contract 2.5).
MEDIA_PRICES: Final = 5
BING_PRICES: Final = 3
_USUAL_RESULTS: Final = 10
# What is held for a number of results that stands where it cannot be read.
_MOST_RESULTS: Final = 20
# No search gives more; a larger number is a slip, and refused.
_ABSURD_RESULTS: Final = 9_999
_MOST_FIELDS: Final = 256
_MEDIA: Final = frozenset({"images", "news"})
# Neither a text nor a number: whatever it is, it is taken for the dearest.
_UNREAD: Final = ()
NO_CONTENT: Final = "no-content"
_FORMATS: Final = ("respondWith", "returnFormat")
_FORMAT_HEADERS: Final = ("x-respond-with", "x-return-format")
_NUMBERS: Final = ("num", "count")
_PROVIDERS: Final = ("provider", "engine")
SEARCH_FIELDS: Final = frozenset({*_NUMBERS, "type", *_PROVIDERS, *_FORMATS})


@dataclass(frozen=True, slots=True)
class Asked:
    """`prices`: how often the fixed price may come; `with_pages`: their content may cost more."""

    results: int
    prices: int
    with_pages: bool


def asked_of(fields: Mapping[str, object], headers: Mapping[str, str], upstream_path: str) -> Asked:
    """Of the query, the body's `fields` (those of SEARCH_FIELDS) and headers together."""
    query = upstream_path.partition("?")[2]
    given = [*_pairs(query), *fields.items()] if query or fields else ()
    results, factor, is_images, without_pages = 0, 1, False, _no_content(headers)
    for name, value in given:
        if value is None:
            continue
        word = value.strip().lower() if isinstance(value, str) else None
        if name in _NUMBERS:
            results = max(results, _results(value))
        elif name == "type":
            # What is no text may be a list, of which the service takes the last.
            if word is None or word in _MEDIA:
                factor = MEDIA_PRICES
            is_images = word == "images"
        elif name in _PROVIDERS and (word is None or word == "bing"):
            factor = max(factor, BING_PRICES)
        elif name in _FORMATS and word == NO_CONTENT:
            without_pages = True
    results = results or _USUAL_RESULTS
    prices = -(-results // RESULTS_PER_PRICE) * factor
    return Asked(results, prices, not without_pages and not is_images)


def form_fields(body: bytes) -> dict[str, object]:
    """The fields of an urlencoded form that a price depends on."""
    found: dict[str, object] = {}
    for written, value in _pairs(body.decode("utf-8", "replace")):
        name = written.removesuffix("[]")
        if name in SEARCH_FIELDS:
            found[name] = value if name not in found else _UNREAD
    return found


def multipart_fields(body: bytes) -> dict[str, object]:
    """Of a form in parts only whether the dear words are in it: few send one to a search."""
    body = body.lower()
    found: dict[str, object] = {"num": _UNREAD}
    if any(word.encode() in body for word in _MEDIA):
        found["type"] = _UNREAD
    if b"bing" in body:
        found["provider"] = _UNREAD
    return found


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    """Names and values; nothing where there are too many, which the service refuses too."""
    if not query:
        return iter(())
    try:
        return iter(parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return iter((("num", "20"), ("type", "news")))


def _results(value: object) -> int:
    if isinstance(value, bool):
        return 0
    if isinstance(value, str):
        text = value.strip()
        if not text.isascii() or not text.isdigit():
            return 0
        value = int(text[:9])
    if not isinstance(value, int):
        return _MOST_RESULTS
    return value if 0 <= value <= _ABSURD_RESULTS else 0


def _no_content(headers: Mapping[str, str]) -> bool:
    return any(headers.get(name, "").strip().lower() == NO_CONTENT for name in _FORMAT_HEADERS)
