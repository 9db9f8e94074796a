"""New objects of each kind with every field that Sluice may look at, in today's version."""

from tests.stripe_standin.errors import Obj
from tests.stripe_standin.world import World

_NO_ADDRESS = {
    "city": None,
    "country": None,
    "line1": None,
    "line2": None,
    "postal_code": None,
    "state": None,
}
_DUE_S = 7 * 86_400


def base(world: World, kind: str, prefix: str, **fields: object) -> Obj:
    """What every object has."""
    return {
        "id": world.new_id(prefix),
        "object": kind,
        "created": world.now(),
        "livemode": False,
        "metadata": {},
        **fields,
    }


def billing_details(email: str | None, name: str | None, country: str | None) -> Obj:
    """Who paid."""
    address = {**_NO_ADDRESS, "country": country}
    return {"address": address, "email": email, "name": name, "phone": None, "tax_id": None}


def customer(world: World, **fields: object) -> Obj:
    """A customer, not yet kept."""
    thing = base(
        world,
        "customer",
        "cus",
        address=None,
        balance=0,
        currency=None,
        default_source=None,
        delinquent=False,
        description=None,
        discount=None,
        email=None,
        invoice_prefix=world.new_id("x")[2:10].upper(),
        invoice_settings={
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        name=None,
        next_invoice_sequence=1,
        phone=None,
        preferred_locales=[],
        shipping=None,
        tax_exempt="none",
        test_clock=None,
    )
    return {**thing, **fields}


def payment_method(world: World, kind: str, details: Obj, last4: str = "4242") -> Obj:
    """A card, or a bank account that is debited."""
    card: Obj = {
        "brand": "visa",
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": "visa",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": world.new_id("f")[2:18],
        "funding": "credit",
        "generated_from": None,
        "last4": last4,
        "networks": {"available": ["visa"], "preferred": None},
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }
    bank: Obj = {
        "bank_code": "37040044",
        "branch_code": "",
        "country": "DE",
        "fingerprint": world.new_id("f")[2:18],
        "generated_from": {"charge": None, "setup_attempt": None},
        "last4": "3000",
    }
    thing = base(world, "payment_method", "pm", allow_redisplay="unspecified")
    thing |= {"billing_details": details, "customer": None, "type": kind}
    return {**thing, kind: card if kind == "card" else bank}


def payment_intent(world: World, amount: int, currency: str, **fields: object) -> Obj:
    """An intent that waits for a payment method."""
    thing = base(world, "payment_intent", "pi", amount=amount, currency=currency)
    thing |= {
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{thing['id']}_secret_{world.new_id('s')[2:]}",
        "confirmation_method": "automatic",
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    return {**thing, **fields}


def charge(world: World, intent: Obj, method: Obj) -> Obj:
    """An attempt to collect what an intent is about."""
    thing = base(world, "charge", "ch", amount=intent["amount"], currency=intent["currency"])
    kind = method["type"]
    thing |= {
        "amount_captured": 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "captured": False,
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "metadata": dict(intent["metadata"]),
        "outcome": None,
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {kind: {**method[kind], "mandate": None}, "type": kind},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": f"{world.base_url}/receipts/{thing['id']}",
        "refunded": False,
        "refunds": _empty(f"/v1/charges/{thing['id']}/refunds"),
        "review": None,
        "shipping": None,
        "statement_descriptor": None,
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }
    return thing


def refund(world: World, paid: Obj, amount: int, **fields: object) -> Obj:
    """Money on its way back."""
    thing = base(world, "refund", "re", amount=amount, currency=paid["currency"])
    del thing["livemode"]
    thing |= {
        "balance_transaction": None,
        "charge": paid["id"],
        "destination_details": {"type": paid["payment_method_details"]["type"]},
        "payment_intent": paid["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    return {**thing, **fields}


def dispute(world: World, paid: Obj, amount: int, reason: str, status: str) -> Obj:
    """A buyer's bank asks for the money back."""
    thing = base(world, "dispute", "du", amount=amount, currency=paid["currency"])
    inquiry = status.startswith("warning")
    return thing | {
        "balance_transactions": [],
        "charge": paid["id"],
        "enhanced_eligibility_types": [],
        "evidence": {"customer_email_address": paid["billing_details"]["email"]},
        "evidence_details": {
            "due_by": world.now() + _DUE_S,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": inquiry,
        "payment_intent": paid["payment_intent"],
        "payment_method_details": {
            "card": {"brand": "visa", "case_type": "inquiry" if inquiry else "chargeback"},
            "type": "card",
        },
        "reason": reason,
        "status": status,
    }


def balance_transaction(
    world: World, amount: int, currency: str, source: str, kind: str, category: str, fee: int
) -> Obj:
    """One movement of the balance that is kept with Stripe; `fee` is what it cost besides."""
    told = "Stripe processing fees" if kind == "charge" else "Dispute fee"
    detail = {"amount": fee, "application": None, "currency": currency, "description": told}
    thing = base(world, "balance_transaction", "txn", amount=amount, currency=currency)
    del thing["livemode"], thing["metadata"]
    return thing | {
        "available_on": world.now() + 2 * 86_400,
        "balance_type": "payments",
        "description": None,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [{**detail, "type": "stripe_fee"}] if fee else [],
        "net": amount - fee,
        "reporting_category": category,
        "source": source,
        "status": "pending",
        "type": kind,
    }


def price(world: World, product: str, currency: str, amount: int | None, **fields: object) -> Obj:
    """What one piece of a product costs."""
    return base(
        world,
        "price",
        "price",
        active=True,
        billing_scheme="per_unit",
        currency=currency,
        custom_unit_amount=None,
        lookup_key=None,
        nickname=None,
        product=product,
        recurring=None,
        tax_behavior="unspecified",
        tiers_mode=None,
        transform_quantity=None,
        type="one_time",
        unit_amount=amount,
        unit_amount_decimal=None if amount is None else str(amount),
    ) | dict(fields)


def product(world: World, name: str, **fields: object) -> Obj:
    """Something that can be bought."""
    return base(
        world,
        "product",
        "prod",
        active=True,
        default_price=None,
        description=None,
        images=[],
        marketing_features=[],
        name=name,
        package_dimensions=None,
        shippable=None,
        statement_descriptor=None,
        tax_code=None,
        type="service",
        unit_label=None,
        updated=world.now(),
        url=None,
    ) | dict(fields)


def _empty(url: str) -> Obj:
    return {"object": "list", "data": [], "has_more": False, "url": url}
