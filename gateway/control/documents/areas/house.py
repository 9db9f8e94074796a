"""Probes, the documents themselves, and the dashboard calls of older clients."""

from typing import Final

from gateway.control.documents.operation import (
    JSON,
    TEXT_PLAIN,
    Answer,
    Body,
    Operation,
    json_answer,
    query,
)
from gateway.control.documents.shapes import (
    COUNT,
    MOMENT,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
)

_EVERYWHERE: Final = ("api", "r", "deepsearch", "dash", "segment")
_PAPERS: Final = ("api", "dash")
_DASH: Final = ("dash",)

SCHEMAS: Final[dict[str, Schema]] = {
    "Health": answer(
        {
            "status": one_of("ok", "degraded", "not ready"),
            "degraded": told(array(TEXT), "Names of what is worse than it should be."),
        },
        "degraded",
    ),
    "DashUser": answer(
        {
            "user_id": TEXT,
            "email": maybe(TEXT),
            "full_name": maybe(TEXT),
            "customer_id": maybe(TEXT),
            "wallet": answer(
                {
                    "trial_balance": COUNT,
                    "trial_start": MOMENT,
                    "trial_end": maybe(TEXT),
                    "regular_balance": COUNT,
                    "total_balance": COUNT,
                }
            ),
            "metadata": told({"type": "object"}, "`speed_level` 2 is premium."),
        }
    ),
    "DashTransaction": answer(
        {
            "type": one_of("consume", "purchase", "trial"),
            "quantity": WHOLE,
            "updated_at": TEXT,
            "metadata": {"type": "object"},
        }
    ),
    "DashModel": answer({"name": TEXT, "rank": WHOLE, "meta_data": {"type": "object"}}),
    "DashProduct": answer(
        {"price_id": TEXT, "name": TEXT, "quantity": COUNT, "currency": TEXT, "unit_amount": COUNT}
    ),
    "DashCheckoutRequest": request(
        {
            "price_id": told(TEXT, "Of `GET /api/v1/product`."),
            "success_url": maybe(TEXT),
            "cancel_url": maybe(TEXT),
        },
        "price_id",
    ),
    "DashCheckout": answer({"url": maybe(TEXT)}),
}


def _probe(name: str, path: str, title: str, *, method: str = "GET") -> Operation:
    found = [json_answer(ref("Health"), "It is.")]
    if name != "live":
        found.append(json_answer(either(ref("Health"), ref("ApiError")), "It cannot now.", 503))
    if method == "HEAD":
        found = [Answer("It is.", {}), Answer("It cannot now.", {}, 503)]
    return Operation(
        name, method, path, "house", title, "Needs no key.", tuple(found), labels=_EVERYWHERE
    )


def _paper(name: str, path: str, title: str, kind: str, schema: Schema) -> Operation:
    found = Answer("The document, with the addresses of this deployment.", {kind: schema})
    return Operation(name, "GET", path, "house", title, "Needs no key.", (found,), labels=_PAPERS)


def _dash(
    name: str,
    method: str,
    path: str,
    schema: Schema,
    refused: tuple[int, ...] = (),
    *,
    status: int = 200,
    key: bool = False,
    body: Body | None = None,
) -> Operation:
    parameters = (query("api_key", TEXT, "The key, as these clients send it."),)
    return Operation(
        name,
        method,
        path,
        "dash",
        f"{name} of older clients",
        "For clients that make it; new ones use `/v1`.",
        (json_answer(schema, "As those clients read it.", status),),
        refused,
        labels=_DASH,
        bare=None,
        key=key,
        body=body,
        deprecated=True,
        parameters=parameters if path.endswith("user") else (),
    )


OPERATIONS: Final = (
    _probe("health", "/health", "Whether this door can serve"),
    _probe("health_head", "/health", "The same without a body", method="HEAD"),
    _probe("live", "/live", "Whether this process lives"),
    Operation(
        "ready",
        "GET",
        "/ready",
        "house",
        "Whether it can serve",
        "Needs no key.",
        (
            json_answer(ref("Health"), "It can."),
            json_answer(either(ref("Health"), ref("ApiError")), "It cannot now.", 503),
        ),
        labels=_EVERYWHERE,
    ),
    Operation(
        "ping",
        "GET",
        "/ping",
        "house",
        "Whether deepsearch's door answers",
        "Needs no key.",
        (Answer("It does.", {TEXT_PLAIN: {"const": "pone"}}),),
        labels=("deepsearch",),
        bare=None,
    ),
    _paper("openapi", "/openapi.json", "This document", JSON, {"type": "object"}),
    _paper("llms", "/llms.txt", "What there is, for language models", TEXT_PLAIN, TEXT),
    _paper("meta_prompt", "/meta-prompt.txt", "How to write code for it", TEXT_PLAIN, TEXT),
    Operation(
        "security_txt",
        "GET",
        "/.well-known/security.txt",
        "house",
        "Whom to tell of a weakness",
        "RFC 9116. Not found unless the operator has named somebody.",
        (Answer("Whom to tell.", {TEXT_PLAIN: TEXT}),),
        (404,),
        labels=_PAPERS,
    ),
    _dash(
        "dash_mint",
        "POST",
        "/api/v1/api_key",
        ref("NewKey"),
        (403, 429),
        status=201,
        body=Body(request({}), needed=False),
    ),
    _dash("dash_user", "GET", "/api/v1/api_key/user", ref("DashUser"), (401, 422)),
    _dash("dash_fe_user", "GET", "/api/v1/api_key/fe_user", ref("DashUser"), (401, 422)),
    _dash("dash_authorization", "GET", "/api/v1/authorization", ref("DashUser"), key=True),
    _dash(
        "dash_transactions",
        "GET",
        "/api/v1/billing/transaction",
        array(ref("DashTransaction")),
        key=True,
    ),
    _dash("dash_products", "GET", "/api/v1/product", array(ref("DashProduct"))),
    _dash("dash_models", "GET", "/api/v1/models", array(ref("DashModel"))),
    _dash(
        "dash_checkout",
        "POST",
        "/api/v1/checkout_session",
        ref("DashCheckout"),
        (400, 409, 429, 502),
        key=True,
        body=Body(ref("DashCheckoutRequest")),
    ),
)
