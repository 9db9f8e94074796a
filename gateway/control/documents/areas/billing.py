"""Billing, and what a request would cost."""

from typing import Final

from gateway.control.documents.operation import (
    MAX_CHARGE,
    REPEAT,
    Body,
    Operation,
    header,
    json_answer,
    query,
)
from gateway.control.documents.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    MOMENT,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    by_name,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)

_CURRENCY: Final = told(TEXT, "Three letters, such as `usd`.")
_MINOR: Final = told(COUNT, "In the minor unit of the currency.")
_STATE: Final = answer({"limit": COUNT, "remaining": COUNT, "reset_ms": COUNT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Packs": answer(
        {
            "items": array(
                answer({"pack": TEXT, "name": TEXT, "tokens": COUNT, "prices": by_name(COUNT)})
            ),
            "tax": told({}, "How tax is treated."),
        }
    ),
    "CheckoutRequest": request(
        {
            "pack": told(TEXT, "One of `GET /v1/billing/packs`."),
            "currency": _CURRENCY,
            "email": told(maybe(TEXT), "Where the invoice goes."),
            "success_url": maybe({**TEXT, "format": "uri"}),
            "cancel_url": maybe({**TEXT, "format": "uri"}),
            "save_payment_method": maybe(FLAG),
        },
        "pack currency",
    ),
    "Checkout": answer(
        {"url": told(maybe(TEXT), "Where to pay."), "order_id": TEXT, "state": TEXT}
    ),
    "Order": answer(
        {
            "order_id": TEXT,
            "origin": TEXT,
            "state": TEXT,
            "pack": TEXT,
            "tokens": COUNT,
            "granted_tokens": COUNT,
            "currency": _CURRENCY,
            "price": _MINOR,
            "paid": maybe(COUNT),
            "refunded": maybe(COUNT),
            "disputed": maybe(COUNT),
            "created_at": MOMENT,
            "expires_at": MOMENT,
            "url": maybe(TEXT),
            "invoice_url": maybe(TEXT),
            "note": maybe(TEXT),
        }
    ),
    "Orders": answer({"items": array(ref("Order")), "owed_tokens": COUNT}),
    "RechargeRequest": request(
        {
            "pack": TEXT,
            "currency": _CURRENCY,
            "threshold_tokens": told(whole(1), "Below this it is bought."),
            "monthly_cap": told(whole(1), "The most in 30 days, in the minor unit."),
            "notify_url": told(maybe(TEXT), "Hears of every recharge."),
        },
        "pack currency monthly_cap",
    ),
    "Recharge": answer(
        {
            "enabled": FLAG,
            "stopped": told({}, "Why it is off."),
            "pack": TEXT,
            "currency": _CURRENCY,
            "threshold_tokens": COUNT,
            "monthly_cap": COUNT,
            "notify_url": maybe(TEXT),
            "notify_secret": told(TEXT, "Shown once: signs what `notify_url` hears."),
            "declines": COUNT,
            "not_before": MOMENT,
            "order_in_flight": {},
        },
        "stopped pack currency threshold_tokens monthly_cap notify_url notify_secret declines "
        "not_before order_in_flight",
    ),
    "Received": answer({"received": {"const": True}, "event": TEXT}),
    "PriceRequest": request(
        {
            "product": told(TEXT, "A product by its name; or `path`, never both."),
            "path": told(TEXT, "Path or whole address of the call."),
            "method": TEXT,
            "headers": told(ANYTHING, "As they would be sent."),
            "body": told({}, "A text is counted as it is, an object as its JSON without blanks."),
        },
        told="The request that you would send.",
    ),
    "Price": answer(
        {
            "object": {"const": "price"},
            "product": maybe(TEXT),
            "expected_tokens": maybe(COUNT),
            "expected_by": maybe(TEXT),
            "worst_tokens": maybe(COUNT),
            "worst_is_sure": told(
                maybe(FLAG),
                "False where it may be more and no cap bounds it: by a last step of deepsearch, "
                "or by blanks between the fields of a body that was given as an object.",
            ),
            "hold_tokens": maybe(COUNT),
            "max_charge": maybe(COUNT),
            "admitted": FLAG,
            "refusal": maybe(
                answer(
                    {
                        "status": WHOLE,
                        "code": ref("ErrorCode"),
                        "message": TEXT,
                        "retry_after_ms": maybe(COUNT),
                    }
                )
            ),
            "tier": either(one_of("anonymous", "key", "premium"), {"type": "null"}),
            "limits": maybe(answer({"requests": _STATE, "tokens": maybe(_STATE)})),
            "balance": maybe(answer({"free_tokens": WHOLE})),
            "degraded": told(
                {"const": "local"},
                "Only while the limiter is away: limits and balance are the part of one process.",
            ),
        },
        "degraded",
        told="What a request would cost, and whether it would be admitted now.",
    ),
}

_OFF: Final = " Answers 503 where billing is not configured."

OPERATIONS: Final = (
    Operation(
        "price",
        "POST",
        "/v1/price",
        "billing",
        "What a request would cost",
        "Nothing is done, counted or charged. A key may be sent. The same for a product call "
        "itself: send it with `Prefer: dry-run`.",
        (json_answer(ref("Price"), "The price."),),
        (400, 401, 402),
        parameters=(MAX_CHARGE,),
        body=Body(
            ref("PriceRequest"),
            {"an embedding": {"path": "/v1/embeddings", "body": {"input": "Hello"}}},
        ),
    ),
    Operation(
        "list_packs",
        "GET",
        "/v1/billing/packs",
        "billing",
        "What can be bought",
        "Needs no key." + _OFF,
        (json_answer(ref("Packs"), "The packs."),),
    ),
    Operation(
        "checkout",
        "POST",
        "/v1/billing/checkout",
        "billing",
        "Buy a pack",
        "Gives an address of Stripe Checkout to send the buyer to." + _OFF,
        (json_answer(ref("Checkout"), "The order."),),
        (400, 409, 429, 502),
        key=True,
        parameters=(REPEAT,),
        body=Body(ref("CheckoutRequest")),
    ),
    Operation(
        "list_orders",
        "GET",
        "/v1/billing/orders",
        "billing",
        "Orders of a key",
        "The newest first." + _OFF,
        (json_answer(ref("Orders"), "The orders."),),
        (422,),
        key=True,
        parameters=(query("limit", whole(1, 200, 50), "At most so many."),),
    ),
    Operation(
        "show_recharge",
        "GET",
        "/v1/billing/auto-recharge",
        "billing",
        "Whether and how a key recharges itself",
        "Off unless its owner allowed it." + _OFF,
        (json_answer(ref("Recharge"), "What is allowed."),),
        key=True,
    ),
    Operation(
        "allow_recharge",
        "PUT",
        "/v1/billing/auto-recharge",
        "billing",
        "Let a key recharge itself",
        "Needs a way to pay that was saved at a checkout." + _OFF,
        (json_answer(ref("Recharge"), "What is allowed."),),
        (409,),
        key=True,
        body=Body(ref("RechargeRequest")),
    ),
    Operation(
        "stop_recharge",
        "DELETE",
        "/v1/billing/auto-recharge",
        "billing",
        "Stop recharges",
        "One that is in flight runs to its end." + _OFF,
        (json_answer(ref("Recharge"), "What is allowed."),),
        key=True,
    ),
    Operation(
        "stripe_webhook",
        "POST",
        "/v1/billing/webhook",
        "billing",
        "Stripe's door",
        "For Stripe alone, which signs what it sends." + _OFF,
        (json_answer(ref("Received"), "It is kept."),),
        parameters=(header("Stripe-Signature", TEXT, "Stripe's signature of the body."),),
        body=Body(ANYTHING),
    ),
)
