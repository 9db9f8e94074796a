"""Outcomes for tests, as the meter would encode them."""

from gateway.admission.ask import Settlement
from gateway.admission.scripts import tag_of
from gateway.edge.request_ids import new_request_id
from gateway.metering.event import CHARGE, VOID, Event

INSTANCE = "gw-1"
PRODUCT = "embeddings"


def event(number: int, key_id: int | None = 1, cost: int = 5, **other: object) -> Event:
    """A charge of `cost`; a void when that is 0 or there is no key."""
    charged = cost > 0 and key_id is not None
    request_id = new_request_id()
    at_ms = int(request_id.replace("-", "")[:12], 16)
    fields: dict[str, object] = {
        "request_id": request_id,
        "kind": CHARGE if charged else VOID,
        "key_id": key_id,
        "product": PRODUCT,
        "cost_tokens": cost if charged else 0,
        "reported_tokens": cost,
        "held_tokens": cost + 10,
        "outcome": "complete" if charged else "service_failed",
        "rule": "reported",
        "http_status": 200,
        "admission_no": number,
        "admitted_ms": at_ms,
        "decided_ms": at_ms + 1,
        "instance": INSTANCE,
        **other,
    }
    return Event(**fields)  # type: ignore[arg-type]


def settlement(of: Event) -> Settlement:
    subject = "a:192.0.2.1" if of.key_id is None else f"k:{of.key_id}"
    tag = tag_of(subject)
    return Settlement(subject, tag, of.product, of.request_id, of.cost_tokens, of.cost_tokens)
