"""Settings of billing: name, attribute, how it is read, default, reason, default in words.

Refuses to build the records: `knobs` does, with all the others.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway.knob_readers import (
    integer,
    readable_file,
    return_address,
    server_origin,
    texts,
    word,
    yes_or_no,
)

BillingKnob = tuple[str, str, Callable[[str], Any], Any, str, str]

BILLING: Final[tuple[BillingKnob, ...]] = (
    (
        "STRIPE_SECRET_KEY",
        "stripe_secret_key",
        word,
        None,
        "our key at Stripe; without it the billing routes answer 503",
        "",
    ),
    (
        "STRIPE_WEBHOOK_SECRET",
        "stripe_webhook_secrets",
        texts,
        (),
        "with which Stripe signs what it sends; two with a comma while one replaces the other",
        "",
    ),
    (
        "STRIPE_DEADLINE_MS",
        "stripe_deadline_ms",
        integer(100, 60_000),
        10_000,
        "milliseconds within which each call to Stripe ends, its repeats included; then 503",
        "",
    ),
    (
        "STRIPE_API_BASE",
        "stripe_api_base",
        server_origin,
        None,
        "another address of Stripe, for tests",
        "Stripe's own",
    ),
    (
        "STRIPE_AUTOMATIC_TAX",
        "stripe_automatic_tax",
        yes_or_no,
        False,
        "yes: Stripe computes tax at the checkout; recharges are not possible then",
        "no",
    ),
    (
        "PACKS",
        "packs",
        readable_file,
        None,
        "TOML file of what can be bought, which replaces the built-in one",
        "built in",
    ),
    (
        "BILLING_SUCCESS_URL",
        "billing_success_url",
        return_address,
        None,
        "where a buyer comes back to; {order_id} is replaced",
        "the front page of DOMAIN",
    ),
    (
        "BILLING_CANCEL_URL",
        "billing_cancel_url",
        return_address,
        None,
        "where a buyer who gave up comes back to; {order_id} is replaced",
        "the front page of DOMAIN",
    ),
    (
        "NOTIFY_ALLOW",
        "notify_allow",
        texts,
        (),
        "origins with commas that owners' webhooks may have though they are private",
        "",
    ),
)
