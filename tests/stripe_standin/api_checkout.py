"""The API about checkout sessions."""

from collections.abc import Sequence

from tests.stripe_standin import basket, money, shapes
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed, page
from tests.stripe_standin.routes import Route

_HALF_HOUR_S, _DAY_S = 1_800, 86_400
_METHODS = ("card", "sepa_debit", "us_bank_account", "link", "paypal", "ideal", "bancontact")


class Sessions:
    """Checkout sessions in payment mode on a hosted page."""

    def __init__(self, desk: Desk) -> None:
        self._world = desk.world
        self._checkout = desk.checkout

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        one = "/v1/checkout/sessions/{}"
        return (
            Route("POST", "/v1/checkout/sessions", self.create),
            Route("GET", "/v1/checkout/sessions", self.page),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.update),
            Route("POST", f"{one}/expire", self.expire),
            Route("GET", f"{one}/line_items", self.line_items),
        )

    def create(self, params: Params) -> Obj:
        """POST /v1/checkout/sessions."""
        params.need("mode", among=("payment",))
        params.text("ui_mode", among=("hosted_page",))
        lines = basket.lines(self._world, params)
        session = self._shape(params, lines)
        self._customer(session, params)
        self._discounts(session, params)
        session["_intent"] = self._intent_data(params.inner("payment_intent_data"))
        total = int(session["amount_total"])
        if total:
            money.enough(total, session["currency"], "line_items")
        return self._world.add(session)

    def page(self, params: Params) -> Obj:
        """GET /v1/checkout/sessions."""
        self._checkout.expire_due()
        every = self._world.all("checkout.session")
        email = params.inner("customer_details").text("email")
        kept = [
            one
            for one in every
            if email is None or (one["customer_details"] or {}).get("email") == email
        ]
        equal = ("customer", "payment_intent", "status")
        return listed(self._world, kept, params, "/v1/checkout/sessions", equal)

    def retrieve(self, params: Params, name: str) -> Obj:
        """GET /v1/checkout/sessions/{}."""
        self._checkout.expire_due()
        return self._world.get("checkout.session", name)

    def update(self, params: Params, name: str) -> Obj:
        """POST /v1/checkout/sessions/{}: its metadata."""
        found = self._world.get("checkout.session", name)
        found["metadata"] = {**found["metadata"], **params.metadata()}
        return found

    def expire(self, params: Params, name: str) -> Obj:
        """POST /v1/checkout/sessions/{}/expire."""
        return self._checkout.expire(self._world.get("checkout.session", name))

    def line_items(self, params: Params, name: str) -> Obj:
        """GET /v1/checkout/sessions/{}/line_items."""
        found = self._world.get("checkout.session", name)
        data: list[Obj] = found["line_items"]["data"]
        return page(self._world, data, params, f"/v1/checkout/sessions/{name}/line_items")

    def _shape(self, params: Params, lines: list[Obj]) -> Obj:
        world, now = self._world, self._world.now()
        session = shapes.base(world, "checkout.session", "cs_test", metadata=params.metadata())
        name = session["id"]
        url = f"/v1/checkout/sessions/{name}/line_items"
        methods = params.texts("payment_method_types")
        for index, method in enumerate(methods):
            if method not in _METHODS:
                raise invalid(f"Invalid payment_method_types[{index}]", "payment_method_types")
        tax = params.inner("automatic_tax").flag("enabled") or False
        total = sum(int(line["amount_total"]) for line in lines)
        return session | {
            "adaptive_pricing": {"enabled": False},
            "after_expiration": None,
            "allow_promotion_codes": params.flag("allow_promotion_codes"),
            "amount_subtotal": total,
            "amount_total": total,
            "automatic_tax": {
                "enabled": tax,
                "liability": {"type": "self"} if tax else None,
                "provider": "stripe" if tax else None,
                "status": "requires_location_inputs" if tax else None,
            },
            "billing_address_collection": params.text("billing_address_collection"),
            "cancel_url": self._url(params, "cancel_url"),
            "client_reference_id": params.text("client_reference_id", most=200),
            "client_secret": None,
            "collected_information": None,
            "consent": None,
            "consent_collection": None,
            "currency": lines[0]["currency"],
            "currency_conversion": None,
            "custom_fields": [],
            "custom_text": {"after_submit": None, "shipping_address": None, "submit": None},
            "customer": None,
            "customer_creation": params.text("customer_creation", among=("always", "if_required"))
            or "if_required",
            "customer_details": None,
            "customer_email": params.text("customer_email", most=512),
            "discounts": [],
            "expires_at": self._expires_at(params, now),
            "invoice": None,
            "invoice_creation": self._invoice_creation(params.inner("invoice_creation")),
            "line_items": {"object": "list", "data": lines, "has_more": False, "url": url},
            "locale": params.text("locale"),
            "mode": "payment",
            "payment_intent": None,
            "payment_link": None,
            "payment_method_collection": "if_required",
            "payment_method_configuration_details": None,
            "payment_method_options": {},
            "payment_method_types": methods or ["card", "sepa_debit"],
            "payment_status": "unpaid",
            "phone_number_collection": {"enabled": False},
            "recovered_from": None,
            "setup_intent": None,
            "shipping_address_collection": None,
            "shipping_cost": None,
            "shipping_options": [],
            "status": "open",
            "submit_type": params.text("submit_type"),
            "subscription": None,
            "success_url": self._url(params, "success_url") or params.need("success_url"),
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "ui_mode": "hosted_page",
            "url": f"{world.base_url}/c/pay/{name}",
            "wallet_options": None,
        }

    def _expires_at(self, params: Params, now: int) -> int:
        at = params.whole("expires_at")
        if at is None:
            return now + _DAY_S
        # A request may take a moment to get here.
        if not now + _HALF_HOUR_S - 60 <= at <= now + _DAY_S + 60:
            told = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
            raise invalid(told, "expires_at")
        return at

    def _url(self, params: Params, name: str) -> str | None:
        url = params.text(name)
        if url is not None and not url.startswith(("http://", "https://")):
            raise invalid("Not a valid URL", name, "url_invalid")
        return url

    def _invoice_creation(self, params: Params) -> Obj:
        data = params.inner("invoice_data")
        return {
            "enabled": params.flag("enabled") or False,
            "invoice_data": {
                "account_tax_ids": None,
                "custom_fields": None,
                "description": data.text("description"),
                "footer": data.text("footer"),
                "issuer": None,
                "metadata": data.metadata(),
                "rendering_options": None,
            },
        }

    def _intent_data(self, params: Params) -> Obj:
        future = params.text("setup_future_usage", among=("off_session", "on_session"))
        return {
            "description": params.text("description"),
            "metadata": params.metadata(),
            "receipt_email": params.text("receipt_email"),
            "setup_future_usage": future,
            "statement_descriptor_suffix": params.text("statement_descriptor_suffix", most=22),
        }

    def _customer(self, session: Obj, params: Params) -> None:
        name = params.text("customer")
        if name is None:
            return
        for other in ("customer_email", "customer_creation"):
            if params.has(other):
                told = f"You may only specify one of these parameters: customer, {other}."
                raise invalid(told, "customer")
        customer = self._world.named("customer", name, "customer")
        if customer.get("deleted"):
            raise invalid(f"No such customer: '{name}'", "customer", "resource_missing")
        session |= {"customer": name, "customer_creation": None}
        # With automatic tax and a known customer, the address has to be kept somewhere.
        taxed = session["automatic_tax"]["enabled"] and customer["address"] is None
        if taxed and params.inner("customer_update").text("address") != "auto":
            told = "Automatic tax calculation in Checkout requires a valid address on the "
            told += "Customer. Add one, or set `customer_update[address]` to 'auto'."
            raise invalid(told, "automatic_tax", "customer_tax_location_invalid")

    def _discounts(self, session: Obj, params: Params) -> None:
        asked = params.items("discounts")
        if not asked:
            return
        if session["allow_promotion_codes"] is not None:
            told = "You may only specify one of: allow_promotion_codes, discounts."
            raise invalid(told, "discounts")
        given = asked[0]
        name, coupon = given.text("promotion_code"), given.text("coupon")
        if name is not None:
            promotion = self._world.named("promotion_code", name, given.full("promotion_code"))
            coupon = promotion["promotion"]["coupon"]
        found = self._world.named("coupon", coupon or "", given.full("coupon"))
        session["discounts"] = [{"coupon": None if name else coupon, "promotion_code": name}]
        basket.total(session, found, None)
