"""Checkout sessions: made by the API, paid, left or expired by a buyer on the hosted page."""

import copy
from dataclasses import dataclass

from tests.stripe_standin import basket, money, shapes
from tests.stripe_standin.errors import ApiError, Obj, invalid
from tests.stripe_standin.invoices import Invoices
from tests.stripe_standin.payments import AUTHENTICATES, SETTLES_LATER, SUCCEEDS, Payments
from tests.stripe_standin.world import World


@dataclass(frozen=True, slots=True)
class Buyer:
    """What a buyer puts into the hosted page."""

    email: str = ""
    name: str = "Ada Buyer"
    country: str = "US"
    promotion_code: str = ""
    # How the payment method behaves: payments.SUCCEEDS, a decline, AUTHENTICATES, SETTLES_LATER.
    behaviour: str = SUCCEEDS
    # How it behaves when it is charged again without the buyer; empty: it succeeds.
    later: str = ""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The sessions of one world."""

    world: World
    payments: Payments
    invoices: Invoices

    def pay(self, session: Obj, buyer: Buyer) -> ApiError | None:
        """Try to pay. None: complete, or the buyer must prove who they are; else the decline."""
        self.must_be_open(session)
        self.price_for(session, buyer)
        email = session["customer_email"] or buyer.email or _email_of(self.world, session)
        if not email:
            raise invalid("Your email is incomplete.", "email")
        details = shapes.billing_details(email, buyer.name, buyer.country)
        session["customer_details"] = {
            "address": details["address"],
            "business_name": None,
            "email": email,
            "individual_name": None,
            "name": buyer.name,
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        }
        if session["amount_total"] == 0:
            self._customer(session, email, buyer)
            self._complete(session, "no_payment_required")
            return None
        money.enough(session["amount_total"], session["currency"], "promotion_code")
        kind = "sepa_debit" if buyer.behaviour == SETTLES_LATER else "card"
        method = self.payments.method(kind, buyer.behaviour, details)
        self._customer(session, email, buyer)
        intent = self._intent(session, email)
        session["_later"] = buyer.later
        return self._try(session, intent, method, buyer.behaviour)

    def price_for(self, session: Obj, buyer: Buyer) -> None:
        """What this buyer would pay; ApiError for a code that is not to be used."""
        coupon = None
        if buyer.promotion_code:
            promotion = self._promotion(session, buyer.promotion_code)
            coupon = self.world.get("coupon", promotion["promotion"]["coupon"])
            session["discounts"] = [{"coupon": None, "promotion_code": promotion["id"]}]
        else:
            coupon = self._given(session)
        basket.total(session, coupon, buyer.country)

    def prove(self, session: Obj, *, passed: bool) -> ApiError | None:
        """The buyer's bank has, or has not, recognised the buyer."""
        intent = self.world.find(session["payment_intent"])
        if intent is None or intent["status"] != "requires_action":
            raise ApiError(400, "Nothing waits for a proof here.")
        if not passed:
            return self.payments.unproven(intent)
        method = self.world.get("payment_method", intent["payment_method"])
        self.payments.succeed(intent, method)
        self._paid(session, intent, method)
        return None

    def settle(self, session: Obj, *, succeeded: bool) -> None:
        """A bank debit came in, or did not."""
        intent = self.world.find(session["payment_intent"])
        if intent is None or intent["status"] != "processing":
            raise ApiError(400, "No debit is on its way here.")
        if not succeeded:
            self.payments.bounce(intent)
            self.world.emit("checkout.session.async_payment_failed", session)
            return
        self.payments.settle(intent)
        session["payment_status"] = "paid"
        self._invoice(session)
        self.world.emit("checkout.session.async_payment_succeeded", session)

    def expire(self, session: Obj) -> Obj:
        """Nobody can pay it any more."""
        if session["status"] != "open":
            told = "Only Checkout Sessions with a status in [`open`] can be expired. "
            told += f"This Checkout Session has a status of {session['status']}."
            raise ApiError(400, told)
        session |= {"status": "expired", "url": None}
        intent = self.world.find(session["payment_intent"])
        if intent is not None and intent["status"] != "succeeded":
            intent |= {"status": "canceled", "canceled_at": self.world.now()}
            intent["cancellation_reason"] = "expired"
            self.world.emit("payment_intent.canceled", intent)
        self.world.emit("checkout.session.expired", session)
        return session

    def expire_due(self) -> None:
        """Expire what is past its time."""
        for session in self.world.all("checkout.session"):
            if session["status"] == "open" and session["expires_at"] <= self.world.now():
                self.expire(session)

    def issue(self, session: Obj) -> None:
        """Make the invoice that was not made at once."""
        session["invoice"] = self.invoices.paid(session)["id"]

    def must_be_open(self, session: Obj) -> None:
        """ApiError when the page no longer takes a payment."""
        if session["status"] != "open":
            raise ApiError(400, f"This Checkout Session is {session['status']}.")

    def _promotion(self, session: Obj, code: str) -> Obj:
        if not session["allow_promotion_codes"]:
            raise invalid("This page takes no promotion codes.", "promotion_code")
        for promotion in self.world.all("promotion_code"):
            coupon = self.world.get("coupon", promotion["promotion"]["coupon"])
            if promotion["code"].lower() == code.lower() and promotion["active"]:
                if not money.off(coupon, 10**9, session["currency"]):
                    raise invalid("This code cannot be used here.", "promotion_code")
                return promotion
        raise invalid("This code is invalid.", "promotion_code")

    def _given(self, session: Obj) -> Obj | None:
        for discount in session["discounts"]:
            promotion = self.world.find(discount["promotion_code"])
            name = promotion["promotion"]["coupon"] if promotion else discount["coupon"]
            if not session["allow_promotion_codes"]:
                return self.world.find(name)
        session["discounts"] = []
        return None

    def _customer(self, session: Obj, email: str, buyer: Buyer) -> None:
        if session["customer"] is not None:
            return
        future = session["_intent"].get("setup_future_usage")
        invoiced = session["invoice_creation"]["enabled"]
        if not (future or invoiced or session["customer_creation"] == "always"):
            return
        made = shapes.customer(self.world, email=email, name=buyer.name)
        self.world.add(made)
        self.world.emit("customer.created", made)
        session["customer"] = made["id"]

    def _intent(self, session: Obj, email: str) -> Obj:
        before = self.world.find(session["payment_intent"])
        amount, currency = session["amount_total"], session["currency"]
        if before is not None:
            before |= {"amount": amount, "customer": session["customer"]}
            return before
        wanted = copy.deepcopy(session["_intent"])
        intent = shapes.payment_intent(
            self.world,
            amount,
            currency,
            **wanted,
            customer=session["customer"],
            payment_method_types=list(session["payment_method_types"]),
        )
        self.world.add(intent)
        session["payment_intent"] = intent["id"]
        self.world.emit("payment_intent.created", intent)
        return intent

    def _try(self, session: Obj, intent: Obj, method: Obj, behaviour: str) -> ApiError | None:
        if behaviour == AUTHENTICATES:
            self.payments.challenge(intent, method)
        elif behaviour == SETTLES_LATER:
            self.payments.begin(intent, method)
            self._keep(intent, method)
            self._complete(session, "unpaid")
        elif behaviour == SUCCEEDS:
            self.payments.succeed(intent, method)
            self._paid(session, intent, method)
        else:
            return self.payments.decline(intent, method, behaviour)
        return None

    def _paid(self, session: Obj, intent: Obj, method: Obj) -> None:
        self._keep(intent, method)
        self.world.behaviour[method["id"]] = session["_later"] or SUCCEEDS
        self._complete(session, "paid")

    def _keep(self, intent: Obj, method: Obj) -> None:
        if intent["setup_future_usage"] and intent["customer"]:
            self.payments.attach(method, intent["customer"])

    def _complete(self, session: Obj, payment_status: str) -> None:
        session |= {"payment_status": payment_status, "status": "complete", "url": None}
        for discount in session["discounts"]:
            promotion = self.world.find(discount["promotion_code"])
            if promotion is not None:
                promotion["times_redeemed"] += 1
        if payment_status != "unpaid":
            self._invoice(session)
        self.world.emit("checkout.session.completed", session)

    def _invoice(self, session: Obj) -> None:
        wanted = session["invoice_creation"]["enabled"] and session["invoice"] is None
        if wanted and not self.world.invoices_late:
            self.issue(session)


def _email_of(world: World, session: Obj) -> str:
    customer = world.find(session["customer"])
    return str((customer or {}).get("email") or "")
