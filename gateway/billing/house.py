"""Billing as a whole: built once per process, or not at all without a key at Stripe.

Wires, never handles.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from gateway.admission.gate import Gate
from gateway.billing.checkout import Checkout, Terms
from gateway.billing.inbox import Inbox
from gateway.billing.looking import Looker
from gateway.billing.notify import Notifier
from gateway.billing.pack_file import load_packs
from gateway.billing.packs import Packs
from gateway.billing.port import Port, open_port
from gateway.billing.recharge import Recharges
from gateway.billing.recharge_till import RechargeTill
from gateway.billing.sweep import Sweep
from gateway.billing.till import Till
from gateway.postgres import Postgres
from gateway.settings import Settings
from gateway.sql import load_queries
from gateway.telemetry import Telemetry

# The gateway that took a webhook works at it at once: this is the net below it.
_INBOX_MS: Final = 1_000
# How often a worker asks whether it is time; the database says when it is.
_SWEEP_MS: Final = 10_000
_RECHARGE_MS: Final = 2_000
_NOTICE_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Billing:
    """All parts of billing. `takes_webhooks`: there is a secret to know Stripe by."""

    packs: Packs
    terms: Terms
    till: Till
    port: Port
    looker: Looker
    checkout: Checkout
    inbox: Inbox
    sweep: Sweep
    recharge_till: RechargeTill
    recharges: Recharges
    notifier: Notifier
    takes_webhooks: bool
    telemetry: Telemetry

    def works(self) -> tuple[tuple[Callable[[], Awaitable[int]], str, int], ...]:
        """What one worker per machine does again and again: name, and pause in ms."""
        return (
            (self.inbox.run_once, "inbox", _INBOX_MS),
            (self.sweep.run_once, "billing sweep", _SWEEP_MS),
            (self.recharges.run_once, "recharges", _RECHARGE_MS),
            (self.notifier.run_once, "notices", _NOTICE_MS),
            (self._measure, "billing figures", _SWEEP_MS),
        )

    async def _measure(self) -> int:
        figures, telemetry = await self.till.figures(), self.telemetry
        telemetry.inbox_open.set(figures["inbox_open"])
        telemetry.inbox_age.set(figures["inbox_age_s"])
        telemetry.orders_held.set(figures["orders_held"])
        telemetry.orders_returning.set(figures["orders_returning"])
        telemetry.debt_tokens.set(figures["debt_tokens"])
        return 0


@asynccontextmanager
async def billing(
    settings: Settings,
    postgres: Postgres,
    gate: Gate,
    telemetry: Telemetry,
    new_id: Callable[[], str],
    stripe_told: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Billing | None]:
    """Everything while the context is open; None if no key at Stripe is set.

    `stripe_told` hears why Stripe did not answer, or "" that it did.
    """
    packs = load_packs(settings.packs)
    if settings.stripe_secret_key is None:
        yield None
        return
    queries = load_queries()
    till, recharge_till = Till(postgres, queries), RechargeTill(postgres, queries)
    stripe = (settings.stripe_secret_key, settings.stripe_api_base, settings.stripe_deadline_ms)
    port = open_port(*stripe, stripe_told)
    looker = Looker(till, port, gate)
    front = f"http://localhost:{settings.port}/"
    if settings.domain != "localhost":
        front = f"https://{settings.domain}/"
    terms = Terms(
        settings.stripe_automatic_tax,
        settings.billing_success_url or f"{front}?paid={{order_id}}",
        settings.billing_cancel_url or front,
    )
    try:
        yield Billing(
            packs,
            terms,
            till,
            port,
            looker,
            Checkout(till, port, packs, terms, new_id),
            Inbox(till, port, looker, settings.stripe_webhook_secrets),
            Sweep(till, port, looker),
            recharge_till,
            Recharges(till, recharge_till, port, looker, packs, terms, new_id),
            Notifier(recharge_till, settings.notify_allow),
            bool(settings.stripe_webhook_secrets),
            telemetry,
        )
    finally:
        await port.close()
