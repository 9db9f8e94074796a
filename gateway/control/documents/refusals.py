"""Every code that a refusal can have, what it means, and the three envelopes that carry it.

Refuses to be forgotten: a test finds a code in the gateway or in a service that is not here.
"""

from collections.abc import Mapping
from typing import Any, Final

from gateway.control.documents.shapes import (
    COUNT,
    FLAG,
    MOMENT,
    NUMBER,
    TEXT,
    WHOLE,
    Schema,
    array,
    either,
    maybe,
    ref,
    request,
    told,
)
from gateway.products.product import Family

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "AUTHZ_INSUFFICIENT_BALANCE": (402, "The balance does not cover what this may cost."),
    "AUTHZ_KEY_SUSPENDED": (402, "The key is on hold; `GET /v1/keys/me` tells why."),
    "AUTHZ_RESOURCE_LIMIT_EXCEEDED": (403, "No more classifiers for this key."),
    "AUTH_API_KEY_REVOKED": (401, "The key was revoked for ever."),
    "AUTH_INVALID_API_KEY": (401, "No such key, or one with a typo."),
    "AUTH_INVALID_FORMAT": (401, "The header is not `Authorization: Bearer <key>`."),
    "AUTH_MISSING_API_KEY": (401, "A key is needed."),
    "AUTH_REQUIRED": (401, "Only who has a key can own something."),
    "BALANCE_ENDED": (402, "A streamed answer has used all that could be set aside for it."),
    "BILLING_NOT_CONFIGURED": (503, "Nothing can be bought on this deployment."),
    "BODY_COMPRESSED": (415, "Send the body without Content-Encoding."),
    "CHECKOUT_REFUSED": (502, "Stripe did not take the order."),
    "CONFLICT_RESOURCE_BUSY": (409, "The classifier is being trained."),
    "HEAD_TOO_LARGE": (431, "The request line or the headers are too large."),
    "HTTP_MALFORMED": (400, "This is no HTTP request."),
    "IDEMPOTENCY_ANSWER_NOT_KEPT": (409, "It was done, and its answer cannot be told again."),
    "IDEMPOTENCY_BODY_TOO_LARGE": (413, "Too large to be repeated safely."),
    "IDEMPOTENCY_IN_PROGRESS": (409, "The first request of this name still runs."),
    "IDEMPOTENCY_KEY_INVALID": (400, "An Idempotency-Key is 1 to 255 printable characters."),
    "IDEMPOTENCY_KEY_REUSED": (422, "This Idempotency-Key was used for another request."),
    "INPUT_BODY_TOO_LARGE": (413, "The service takes no such body."),
    "INPUT_IMAGE_INVALID": (400, "The image cannot be read."),
    "INPUT_IMAGE_NOT_SUPPORTED": (400, "The model takes no images."),
    "INPUT_INVALID": (422, "A field is missing or wrong; `detail` says which."),
    "INPUT_INVALID_LABELS": (400, "Too few labels, or one that is none."),
    "INPUT_LABEL_LIMIT_EXCEEDED": (400, "Too many labels."),
    "INPUT_MODEL_NOT_FOUND": (400, "No such model; see `GET /v1/models`."),
    "INPUT_NOT_SUPPORTED": (400, "The models of this deployment cannot do that."),
    "INPUT_TOKENIZER_NOT_FOUND": (400, "No such tokenizer."),
    "INPUT_TOKEN_LIMIT_EXCEEDED": (400, "An input has too many tokens."),
    "INPUT_TOO_LARGE": (400, "The inputs are too much for one request."),
    "INPUT_TOO_LONG": (400, "The text is too long."),
    "INPUT_TOO_MANY": (400, "Too many inputs."),
    "INTERNAL_ERROR": (500, "A bug; nothing was charged."),
    "MAX_CHARGE_INVALID": (400, "X-Max-Charge is no number of tokens."),
    "MAX_CHARGE_TOO_LOW": (400, "It surely costs more than X-Max-Charge."),
    "METHOD_NOT_ALLOWED": (405, "The path has other methods; see `Allow`."),
    "ORDERS_TOO_MANY": (429, "Too many orders wait for their payment."),
    "ORDER_OVER": (409, "The order of this Idempotency-Key is over."),
    "PATH_NOT_FOUND": (404, "Nothing is at this path."),
    "PAYMENTS_UNAVAILABLE": (503, "Stripe does not answer; nothing was bought."),
    "RATE_CONCURRENCY_LIMIT_EXCEEDED": (429, "Too many requests of this key are open."),
    "RATE_IP_LIMIT_EXCEEDED": (429, "The requests per minute of this address are used."),
    "RATE_LIMIT_NEVER_FITS": (413, "One request above the whole limit of a minute."),
    "RATE_NEW_KEYS_LIMIT_EXCEEDED": (429, "No more trial keys for this address today."),
    "RATE_REQUEST_LIMIT_EXCEEDED": (429, "The requests per minute of this key are used."),
    "RATE_TOKEN_LIMIT_EXCEEDED": (429, "The tokens per minute of this key are used."),
    "RECHARGE_NEEDS_PAYMENT_METHOD": (409, "There is no saved way to pay."),
    "RECHARGE_NOT_WITH_TAX": (409, "Not where tax is computed at each checkout."),
    "REQUEST_INCOMPLETE": (400, "The body ended before its announced length."),
    "REQUEST_REFUSED": (400, "The service refused the request."),
    "REQUEST_TIMEOUT": (408, "The request came too slowly."),
    "REQUEST_TOO_LARGE": (413, "The body is too large."),
    "REQUEST_UNREADABLE": (400, "The body is not what it should be, mostly JSON."),
    "RESOURCE_NOT_FOUND": (404, "There is none, or it is somebody else's."),
    "SERVICE_BROKE_OFF": (502, "The answer broke off; nothing was charged."),
    "SERVICE_DEGRADED": (503, "A store is away, or a part of it is used up; please retry."),
    "SERVICE_FAILED": (502, "The service failed; nothing was charged."),
    "SERVICE_NOT_DEPLOYED": (503, "This product does not run here."),
    "SERVICE_OVERLOADED": (503, "Too many requests at once; please retry."),
    "SERVICE_REFUSED": (400, "The service refused the request, in its own words."),
    "SERVICE_TIMEOUT": (504, "The service took too long; nothing was charged."),
    "SERVICE_UNAVAILABLE": (503, "The service cannot be reached now; please retry."),
    "TOPUP_TOO_MUCH": (409, "No balance can hold that many tokens."),
    "TRANSFER_NEEDS_PREMIUM": (403, "Both keys must have had a top-up."),
    "TRANSFER_NOTHING_TO_MOVE": (409, "There is no paid token that may be moved."),
    "TRANSFER_RECEIVER_NOT_ACTIVE": (409, "The receiving key is revoked or suspended."),
    "TRANSFER_TOO_MUCH": (409, "The receiving key cannot hold that many."),
    "TRIAL_KEYS_CLOSED": (403, "This deployment gives out no trial keys."),
    "UPSTREAM_FAILED": (502, "The model server behind the service failed."),
    "WEBHOOK_NOT_CONFIGURED": (503, "No webhook secret is set."),
    "WEBHOOK_SIGNATURE": (400, "The signature does not match."),
}

_FACTS: Final = {
    "retry_after_ms": told(COUNT, "Exactly how long to wait; Retry-After is rounded up."),
    "product": TEXT,
    "current": COUNT,
    "limit": COUNT,
    "needed": COUNT,
    "balance_tokens": WHOLE,
    "hold_tokens": COUNT,
    "held_tokens": COUNT,
    "movable_tokens": COUNT,
    "max_charge": COUNT,
    "needed_tokens": COUNT,
    "limit_bytes": COUNT,
    "first_request_id": TEXT,
    "field": TEXT,
    "in": TEXT,
}
_PLACE: Final = request({"loc": array(TEXT), "msg": TEXT, "type": TEXT}, "loc msg type")
_ERROR: Final = request(
    {"message": TEXT, "type": TEXT, "code": maybe(TEXT), "param": maybe(TEXT)}, "message type"
)

SCHEMAS: Final[dict[str, Schema]] = {
    "ErrorCode": {
        "type": "string",
        "enum": list(CODES),
        "description": "Stable: which refusal it is. `x-codes` has the usual status and meaning.",
        "x-codes": {code: {"status": s, "text": text} for code, (s, text) in CODES.items()},
    },
    "ApiError": request(
        {
            "detail": told(either(TEXT, array(_PLACE)), "A sentence; at 422 the wrong fields."),
            "code": ref("ErrorCode"),
            "request_id": TEXT,
            "message": TEXT,
            "error": _ERROR,
            **_FACTS,
        },
        "detail code request_id message error",
        "A refusal of api. and dash.; it costs nothing.",
    ),
    "ReaderError": request(
        {
            "data": {"type": "null"},
            "code": told(WHOLE, "The HTTP status."),
            "name": TEXT,
            "status": told(WHOLE, "Five digits, the first three the HTTP status."),
            "message": TEXT,
            "readableMessage": TEXT,
            "reason": ref("ErrorCode"),
            "request_id": TEXT,
            "path": told(TEXT, "The option that is wrong."),
            "retryAfter": COUNT,
            "retryAfterDate": MOMENT,
            **_FACTS,
        },
        "data code name status message readableMessage",
        "A refusal of r. and s.; it costs nothing. `reason` is there where the gateway refused.",
    ),
    "DeepSearchError": request(
        {
            "error": either(TEXT, _ERROR),
            "code": ref("ErrorCode"),
            "detail": TEXT,
            "request_id": TEXT,
            "details": array({"type": "object"}),
            **_FACTS,
        },
        "error",
        "A refusal of deepsearch.; it costs nothing.",
    ),
}
ENVELOPES: Final = {
    Family.API: "ApiError",
    Family.READER: "ReaderError",
    Family.DEEPSEARCH: "DeepSearchError",
}

_TITLES: Final = {
    400: "The request is wrong.",
    401: "The key is missing or not valid.",
    402: "The balance does not suffice, or the key is suspended.",
    403: "It may not be done.",
    404: "There is none.",
    408: "The request came too slowly.",
    409: "Not now, or not in this state.",
    413: "It is too large.",
    415: "A compressed body.",
    422: "A field is wrong, or there is nothing to give.",
    429: "A limit; wait as long as Retry-After says.",
    431: "The head is too large.",
    451: "A private or internal target.",
    500: "A bug.",
    502: "What stands behind failed.",
    503: "Not available now.",
    504: "It took too long.",
}
_READER_TYPES: Final = ("application/json", "text/plain", "text/event-stream")


def component(family: Family, status: int) -> str:
    """The name of a refusal in the document."""
    return f"{ENVELOPES[family].removesuffix('Error')}{status}"


def responses() -> dict[str, Any]:
    """Every refusal as a response: one per envelope and status."""
    return {
        component(family, status): _response(family, status, text)
        for family in Family
        for status, text in _TITLES.items()
    }


def _response(family: Family, status: int, text: str) -> dict[str, Any]:
    """The service of r. and s. words its own refusals in the form that its client accepts."""
    content: dict[str, Any] = {"application/json": {"schema": ref(ENVELOPES[family])}}
    if family is Family.READER:
        content |= {kind: {"schema": TEXT} for kind in _READER_TYPES[1:]}
    named = ["x-request-id", "x-usage-tokens"]
    if status in (429, 503):
        named.append("Retry-After")
    if status == 401:
        named.append("WWW-Authenticate")
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in named}
    return {"description": text, "headers": headers, "content": content}


def metered_headers() -> dict[str, Any]:
    """The headers of replies, by their names."""
    rates = {
        f"x-ratelimit-{fact}-{unit}": (WHOLE, f"{text} ({unit}).")
        for unit in ("requests", "tokens")
        for fact, text in (
            ("limit", "The limit in any 60 seconds"),
            ("remaining", "What is left of it"),
            ("reset", "Seconds until something comes back"),
        )
    }
    described: dict[str, tuple[Schema, str]] = {
        "x-request-id": (TEXT, "The name of this request, for `GET /v1/requests/{request_id}`."),
        "x-usage-tokens": (
            COUNT,
            "What was charged. A streamed answer tells it in its last event and in a trailer.",
        ),
        "x-usage-rule": (TEXT, "By which rule it was charged."),
        "RateLimit-Policy": (TEXT, "The limits, as in draft-ietf-httpapi-ratelimit-headers."),
        "RateLimit": (TEXT, "What is left of them and when something comes back."),
        **rates,
        "x-ratelimit-limit": (TEXT, "On r. and s. the older form: `20, 20;w=60`."),
        "x-ratelimit-remaining": (WHOLE, "On r. and s. the older form."),
        "x-ratelimit-scope": (
            TEXT,
            "`local`: the limiter is away, and these numbers are the part of your limits that "
            "one of our processes gives out alone meanwhile. Absent otherwise.",
        ),
        "idempotent-replayed": (FLAG, "The answer of an earlier request with the same name."),
        "preference-applied": (TEXT, "`dry-run`: nothing was done."),
        "Retry-After": (NUMBER | {"minimum": 1}, "Whole seconds to wait."),
        "WWW-Authenticate": (TEXT, "`Bearer`"),
        "Allow": (TEXT, "The methods of this path."),
    }
    return {
        name: {"description": text, "schema": schema} for name, (schema, text) in described.items()
    }


# On the answers of metered operations, beside those of their kind.
METERED: Final = tuple(
    name
    for name in metered_headers()
    if name not in ("Retry-After", "WWW-Authenticate", "Allow", "x-ratelimit-limit")
    and name != "x-ratelimit-remaining"
)
OLDER: Final = ("x-ratelimit-limit", "x-ratelimit-remaining")
