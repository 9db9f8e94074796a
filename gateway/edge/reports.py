"""What a service reports about one answer, from the sources that the catalogue names, in order.

Refuses other sources: a product whose catalogue says `json` is not charged by a header.
"""

from typing import Final

from gateway.edge.answer import Answer
from gateway.edge.sse import SseWatch
from gateway.edge.usage import BROKEN, NOTHING_READ, JsonEdges, Reading, field, read_json, tokens_of
from gateway.products.product import Product, UsageSource
from gateway.units import KIB

USAGE_HEADER: Final = b"x-usage-tokens"
RULE_HEADER: Final = b"x-charge-rule"
VOID: Final = "void"
# A JSON body is always parsed up to here; a larger one whose usage is known without it only when
# it has a word that may make it free.
_PARSE_BYTES: Final = 16 * KIB
_SUSPICIOUS: Final = b'"error"'
_ENDS: Final = (b"{}", b"[]", b'""')

Watch = JsonEdges | SseWatch


def rule_of(answer: Answer) -> str | None:
    """The service's x-charge-rule; a trailer speaks last."""
    value = field(answer.trailers, RULE_HEADER) if answer.trailers else None
    value = value or answer.header(RULE_HEADER)
    return None if value is None else value.decode("latin-1").strip().lower()


def is_json(answer: Answer) -> bool:
    """Whether the body says that it is JSON."""
    kind = content_type(answer)
    return kind == b"application/json" or kind.endswith(b"+json")


def is_sse(answer: Answer) -> bool:
    """Whether the body is a stream of events."""
    return content_type(answer) == b"text/event-stream"


def content_type(answer: Answer) -> bytes:
    """What the body says it is, without parameters, in small letters."""
    return (answer.header(b"content-type") or b"").partition(b";")[0].strip().lower()


def watch_of(product: Product, answer: Answer) -> Watch | None:
    """What follows the body of a streamed answer; None where a body tells nothing."""
    if is_sse(answer):
        return SseWatch(product.usage_paths)
    return JsonEdges(product.usage_paths) if is_json(answer) else None


def reported(product: Product, answer: Answer, reading: Reading) -> int | None:
    """The first source that tells; `reading` is what the body told."""
    for source in product.usage_sources:
        if source is UsageSource.HEADER:
            tokens = tokens_of(answer.header(USAGE_HEADER))
        elif source is UsageSource.TRAILER:
            tokens = tokens_of(field(answer.trailers, USAGE_HEADER)) if answer.trailers else None
        elif (source is UsageSource.SSE) is is_sse(answer):
            tokens = reading.tokens
        else:
            tokens = None
        if tokens is not None:
            return tokens
    return None


def promised(product: Product, answer: Answer) -> int | None:
    """What can be told before the body: a header that no other source goes before."""
    if product.usage_sources[:1] != (UsageSource.HEADER,):
        return None
    return tokens_of(answer.header(USAGE_HEADER))


def read_whole(product: Product, answer: Answer, body: bytes) -> Reading:
    """What a whole body says."""
    if is_json(answer):
        if len(body) <= _PARSE_BYTES or _SUSPICIOUS in body or promised(product, answer) is None:
            return read_json(body, product.usage_paths)
        # Charged by the header; that it is not cut or another thing altogether must be enough.
        return NOTHING_READ if _looks_whole(body) else BROKEN
    if is_sse(answer):
        watch = SseWatch(product.usage_paths)
        watch.feed(body)
        return watch.reading()
    return NOTHING_READ


def _looks_whole(body: bytes) -> bool:
    body = body.strip()
    return body[:1] + body[-1:] in _ENDS
