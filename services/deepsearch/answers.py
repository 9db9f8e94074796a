"""What the neighbours answer, read: hits, a page, scores, vectors, or why there is none. Pure.

It refuses to trust their shapes: what is not as it should be is as good as absent.
"""

import binascii
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from services.deepsearch.neighbours import Reply
from services.deepsearch.tools import Hit, Page

TITLE_CHARACTERS: Final = 300
SNIPPET_CHARACTERS: Final = 1_000
URL_CHARACTERS: Final = 2_048
# The reader family's status for a service behind it that is away.
NO_PROVIDER: Final = 42205


def rows(reply: Reply, name: str) -> list[Any]:
    """The list of that name in an answer that is one; else nothing."""
    document = reply.document
    found = document.get(name) if isinstance(document, dict) and reply.status == 200 else None
    return found if isinstance(found, list) else []


def why(reply: Reply, default: str) -> str:
    """What a service said about itself, in one line."""
    document = reply.document
    if reply.status == 200:
        found = document.get("data") if isinstance(document, dict) else None
        status = target_status(found) if isinstance(found, dict) else 0
        return f"{status} of the page" if status >= 400 else default
    for name in ("readableMessage", "message", "detail"):
        said = document.get(name) if isinstance(document, dict) else None
        if isinstance(said, str) and said:
            return f"{reply.status} {said}"[:200]
    return f"{reply.status}"


def is_away(reply: Reply) -> bool:
    """Whether the search says that no provider answered it, which is not the same as no hits."""
    document = reply.document
    return isinstance(document, dict) and document.get("status") == NO_PROVIDER


def hit(row: Any) -> Hit | None:
    """A hit, or None where it is not one."""
    if not isinstance(row, dict):
        return None
    url = word(row, "url")
    if not url or len(url) > URL_CHARACTERS:
        return None
    return Hit(
        url,
        word(row, "title")[:TITLE_CHARACTERS],
        word(row, "description")[:SNIPPET_CHARACTERS],
        word(row, "date") or None,
    )


def page(reply: Reply | None, url: str, most: int | None) -> Page | None:
    """The page, or None where there is nothing to be read; `most` tokens were asked for."""
    if reply is None or reply.status != 200 or not isinstance(reply.document, dict):
        return None
    found = reply.document.get("data")
    if not isinstance(found, dict):
        return None
    text = word(found, "content") or word(found, "text")
    if not text or target_status(found) >= 400:
        return None
    date = word(found, "publishedTime") or None
    cut = most is not None and reply.usage_tokens >= most
    return Page(url, word(found, "title"), text, date, cut)


def target_status(found: Mapping[str, Any]) -> int:
    """What the page's own server answered; an error page is read by the reader all the same."""
    status = found.get("httpStatus")
    return status if type(status) is int else 0


def scores(reply: Reply | None, count: int) -> list[float] | None:
    """One score per text, or None where some are missing."""
    listed = rows(reply, "results") if reply is not None else []
    found: dict[int, float] = {}
    for row in listed:
        at = row.get("index") if isinstance(row, dict) else None
        score = row.get("relevance_score") if isinstance(row, dict) else None
        if isinstance(at, int) and isinstance(score, int | float):
            found[at] = float(score)
    return [found[at] for at in range(count)] if found.keys() >= set(range(count)) else None


def vectors(reply: Reply | None, count: int) -> list[Sequence[float]] | None:
    """Little-endian float32 in base64, as embeddings answers it."""
    listed = rows(reply, "data") if reply is not None else []
    if len(listed) != count:
        return None
    try:
        raw = [binascii.a2b_base64(row["embedding"]) for row in listed]
        return [array("f", each) for each in raw]
    except (KeyError, TypeError, ValueError):
        return None


def word(row: Mapping[str, Any], name: str) -> str:
    """A text without its blanks; empty where there is none."""
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""
