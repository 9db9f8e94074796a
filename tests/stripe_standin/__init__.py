"""A stand-in for Stripe: the API as far as Sluice uses it, a hosted page, signed webhooks.

For the real `stripe` library with its base address pointed here. In a test:

    async with StandIn(webhook_url="http://127.0.0.1:8080/v1/billing/webhook") as stripe:
        stripe.base_url          # SLUICE_STRIPE_API_BASE; secret_key and webhook_secret beside it
        ...                      # let the gateway make a session, by POST /v1/billing/checkout
        await stripe.pay(session_id)         # a buyer pays: objects and events happen at once
        await stripe.idle()                  # every event is delivered (or given up)

`webhook_url` may be set later; None records events without sending them.

Buyers: `pay(session, promotion_code=, country=, behaviour=)`, `decline`, `abandon` (expires it),
`pay_by_debit` then `settle` or `bounce`, `pay(behaviour=AUTHENTICATES)` then `prove`.
A promotion code of 100 percent completes as `no_payment_required`, without an intent.
Invoices: `late_invoices()`, then `issue_invoice(session)`; else they come with the payment.
Saved cards: `behave(payment_method, "insufficient_funds")` says what a card does from now on.
Going back: `refund(x, amount, pending=)`, `refund_fails`, `refund_arrives`, `dispute(x, amount,
inquiry=)`, `escalate`, `win`, `lose`, `appeal`; x is the id of a session, an intent or a charge.
Looking: `session(id)`, `object(id)`, `charge(x)`, `events(kind)`, `requests` (what was asked).
Time: `advance(seconds)`; `use_version("2020-08-27")` makes events of an old API version.

Webhooks, `stripe.courier`: `hold()`, `held`, `release()`, `await deliver(event)` (once, now: its
answer's status; `secrets=["whsec_other"]` forges it, `at=` makes it old), `lose("charge.*", 2)`,
`copies = 3`, `delay_s`, `shuffle_s`, `reset()`, `attempts`, `endpoints[0].secrets` (two: both
sign), `retry_s`. Deliver in any order: hold(), then `for event in order: await deliver(event)`.

Outages, `stripe.faults.add(Fault(kind, path="/v1/checkout/*", method="POST", times=1))`: STATUS
(with `status=`), DROP (no answer, nothing done), LOSE_ANSWER (done, and no answer), SLOW (with
`seconds=`), BREAK (an error that the idempotency key keeps); `stripe.faults.clear()`.

By hand: `python -m tests.stripe_standin --port 8490`, or `make up STRIPE=stand-in`; the pages of
buyers are where `session.url` says, the operator's page is `/_control`.
"""

from tests.stripe_standin.errors import ApiError
from tests.stripe_standin.faults import BREAK, DROP, LOSE_ANSWER, SLOW, STATUS, Fault
from tests.stripe_standin.payments import AUTHENTICATES, DECLINES, SETTLES_LATER, SUCCEEDS
from tests.stripe_standin.standin import SECRET_KEY, WEBHOOK_SECRET, StandIn

__all__ = [
    "AUTHENTICATES",
    "BREAK",
    "DECLINES",
    "DROP",
    "LOSE_ANSWER",
    "SECRET_KEY",
    "SETTLES_LATER",
    "SLOW",
    "STATUS",
    "SUCCEEDS",
    "WEBHOOK_SECRET",
    "ApiError",
    "Fault",
    "StandIn",
]
