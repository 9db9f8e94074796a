"""The API about money: intents, charges, refunds, disputes, invoices, the balance's movements."""

from collections.abc import Sequence

from tests.stripe_standin import money, shapes
from tests.stripe_standin.api_people import People
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed
from tests.stripe_standin.routes import Route

_PAYABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


class Intents:
    """Payment intents."""

    def __init__(self, desk: Desk, people: People) -> None:
        self._world = desk.world
        self._payments = desk.payments
        self._people = people

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        one = "/v1/payment_intents/{}"
        return (
            Route("POST", "/v1/payment_intents", self.create),
            Route("GET", "/v1/payment_intents", self.page),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.update),
            Route("POST", f"{one}/confirm", self.confirm),
            Route("POST", f"{one}/cancel", self.cancel),
        )

    def create(self, params: Params) -> Obj:
        """POST /v1/payment_intents, confirmed at once when asked."""
        code = money.currency(params.need("currency"), "currency")
        amount = params.whole("amount")
        if amount is None:
            raise params.lacks("amount")
        money.enough(amount, code, "amount")
        customer, method = params.text("customer"), params.text("payment_method")
        self._belongs(params, customer, method)
        automatic = params.inner("automatic_payment_methods")
        types = params.texts("payment_method_types")
        intent = shapes.payment_intent(
            self._world,
            amount,
            code,
            automatic_payment_methods={"allow_redirects": "always", "enabled": True}
            if automatic.flag("enabled") or not types
            else None,
            customer=customer,
            description=params.text("description"),
            metadata=params.metadata(),
            payment_method_types=types or ["card", "sepa_debit"],
            receipt_email=params.text("receipt_email"),
            setup_future_usage=params.text("setup_future_usage"),
            statement_descriptor_suffix=params.text("statement_descriptor_suffix", most=22),
        )
        self._world.add(intent)
        self._world.emit("payment_intent.created", intent)
        if method is not None:
            intent |= {"payment_method": method, "status": "requires_confirmation"}
        if params.flag("confirm"):
            return self._confirm(intent, params)
        return intent

    def page(self, params: Params) -> Obj:
        """GET /v1/payment_intents."""
        every = self._world.all("payment_intent")
        return listed(self._world, every, params, "/v1/payment_intents", ("customer",))

    def retrieve(self, params: Params, name: str) -> Obj:
        """GET /v1/payment_intents/{}."""
        return self._world.get("payment_intent", name)

    def update(self, params: Params, name: str) -> Obj:
        """POST /v1/payment_intents/{}: its metadata and description."""
        found = self._world.get("payment_intent", name)
        found["metadata"] = {**found["metadata"], **params.metadata()}
        if params.has("description"):
            found["description"] = params.text("description")
        return found

    def confirm(self, params: Params, name: str) -> Obj:
        """POST /v1/payment_intents/{}/confirm."""
        found = self._world.get("payment_intent", name)
        if found["status"] not in _PAYABLE:
            raise self._unexpected(found, "confirm")
        method = params.text("payment_method")
        self._belongs(params, found["customer"], method)
        found["payment_method"] = method or found["payment_method"]
        return self._confirm(found, params)

    def cancel(self, params: Params, name: str) -> Obj:
        """POST /v1/payment_intents/{}/cancel."""
        found = self._world.get("payment_intent", name)
        if found["status"] not in (*_PAYABLE, "requires_capture"):
            raise self._unexpected(found, "cancel")
        found |= {
            "canceled_at": self._world.now(),
            "cancellation_reason": params.text("cancellation_reason"),
            "status": "canceled",
        }
        self._world.emit("payment_intent.canceled", found)
        return found

    def _confirm(self, intent: Obj, params: Params) -> Obj:
        off_session = params.has("off_session") and params.need("off_session") != "false"
        if intent["payment_method"] is None:
            told = "You cannot confirm this PaymentIntent because it's missing a payment method."
            code = "payment_intent_unexpected_state"
            raise ApiError(400, told, code=code, payment_intent=self._world.show(intent))
        method = self._people.known(intent["payment_method"], "payment_method")
        if method["customer"] is None and off_session:
            told = "The provided PaymentMethod cannot be used off session: attach it first."
            raise invalid(told, "payment_method")
        strict = params.flag("error_on_requires_action") or False
        self._payments.confirm(intent, method, off_session=off_session or strict)
        if intent["setup_future_usage"] and intent["customer"]:
            self._payments.attach(method, intent["customer"])
        return intent

    def _belongs(self, params: Params, customer: str | None, method: str | None) -> None:
        if customer is not None:
            found = self._world.named("customer", customer, "customer")
            if found.get("deleted"):
                raise invalid(f"No such customer: '{customer}'", "customer", "resource_missing")
        if method is None:
            return
        owner = self._people.known(method, "payment_method")["customer"]
        if owner is not None and owner != customer:
            told = "The provided PaymentMethod cannot be attached. It belongs to a customer: "
            told += "provide that customer with the PaymentIntent."
            raise invalid(told, "payment_method")

    def _unexpected(self, intent: Obj, verb: str) -> ApiError:
        told = f"You cannot {verb} this PaymentIntent because it has a status of "
        told += f"{intent['status']}."
        code = "payment_intent_unexpected_state"
        return ApiError(400, told, code=code, payment_intent=self._world.show(intent))
