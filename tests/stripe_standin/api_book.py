"""The API about what has happened: charges, refunds, disputes, invoices, movements, events."""

from collections.abc import Sequence

from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed, page
from tests.stripe_standin.routes import Route
from tests.stripe_standin.world import World

_MOST_TYPES = 20
_REASONS = ("duplicate", "fraudulent", "requested_by_customer")
# Kinds that can be read and listed, with the fields by which a list is filtered.
_READ = {
    "charge": ("charges", ("customer", "payment_intent")),
    "refund": ("refunds", ("charge", "payment_intent")),
    "dispute": ("disputes", ("charge", "payment_intent")),
    "invoice": ("invoices", ("customer", "status", "collection_method")),
    "balance_transaction": ("balance_transactions", ("currency", "source", "type")),
    "invoice_payment": ("invoice_payments", ("invoice", "status")),
}


class Shelf:
    """Objects of one kind, to be read and listed."""

    def __init__(self, world: World, kind: str) -> None:
        self._world = world
        self._kind = kind
        path, self._equal = _READ[kind]
        self._url = f"/v1/{path}"

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        return Route("GET", self._url, self.page), Route("GET", f"{self._url}/{{}}", self.one)

    def page(self, params: Params) -> Obj:
        """GET of all."""
        every = self._world.all(self._kind)
        if self._kind == "invoice_payment":
            wanted = params.inner("payment").text("payment_intent")
            every = [
                one for one in every if wanted is None or one["payment"]["payment_intent"] == wanted
            ]
        return listed(self._world, every, params, self._url, self._equal)

    def one(self, params: Params, name: str) -> Obj:
        """GET of one."""
        return self._world.get(self._kind, name)


class Book:
    """What can be done to what has happened, and the events about it."""

    def __init__(self, desk: Desk) -> None:
        self._world = desk.world
        self._reversals = desk.reversals

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        shelves = (Shelf(self._world, kind) for kind in _READ)
        return (
            *(route for shelf in shelves for route in shelf.routes()),
            Route("POST", "/v1/refunds", self.refund),
            Route("GET", "/v1/charges/{}/refunds", self.refunds_of),
            Route("POST", "/v1/disputes/{}", self.respond),
            Route("POST", "/v1/disputes/{}/close", self.accept),
            Route("GET", "/v1/events", self.events),
            Route("GET", "/v1/events/{}", self.event),
            Route("GET", "/v1/balance", self.balance),
            Route("GET", "/v1/account", self.account),
        )

    def refund(self, params: Params) -> Obj:
        """POST /v1/refunds: by the charge or the payment intent."""
        intent, charge = params.text("payment_intent"), params.text("charge")
        if intent is not None:
            found = self._world.named("payment_intent", intent, "payment_intent")
            charge = found["latest_charge"]
        paid = self._world.named("charge", charge or params.need("charge"), "charge")
        return self._reversals.refund(
            paid,
            params.whole("amount", least=1),
            reason=params.text("reason", among=_REASONS),
            metadata=params.metadata(),
        )

    def refunds_of(self, params: Params, name: str) -> Obj:
        """GET /v1/charges/{}/refunds."""
        self._world.get("charge", name)
        every = [one for one in self._world.all("refund") if one["charge"] == name]
        return page(self._world, every, params, f"/v1/charges/{name}/refunds")

    def respond(self, params: Params, name: str) -> Obj:
        """POST /v1/disputes/{}: evidence; submitted unless told otherwise."""
        found = self._world.get("dispute", name)
        if params.has("metadata"):
            found["metadata"] = {**found["metadata"], **params.metadata()}
        if params.has("evidence") and params.flag("submit") is not False:
            return self._reversals.respond(found)
        return found

    def accept(self, params: Params, name: str) -> Obj:
        """POST /v1/disputes/{}/close: it is lost."""
        return self._reversals.close_dispute(self._world.get("dispute", name), "lost")

    def events(self, params: Params) -> Obj:
        """GET /v1/events."""
        kinds = params.texts("types")
        if len(kinds) > _MOST_TYPES:
            raise invalid("You may only pass up to 20 event types.", "types")
        every = [one for one in self._world.all("event") if not kinds or one["type"] in kinds]
        wanted = params.text("type")
        if wanted is not None and wanted.endswith("*"):
            every = [one for one in every if one["type"].startswith(wanted[:-1])]
            return listed(self._world, every, params, "/v1/events")
        return listed(self._world, every, params, "/v1/events", ("type",))

    def event(self, params: Params, name: str) -> Obj:
        """GET /v1/events/{}."""
        return self._world.get("event", name)

    def balance(self, params: Params) -> Obj:
        """GET /v1/balance: what all movements add up to."""
        sums: dict[str, int] = {}
        for moved in self._world.all("balance_transaction"):
            sums[moved["currency"]] = sums.get(moved["currency"], 0) + int(moved["net"])
        pending = [{"amount": amount, "currency": code} for code, amount in sums.items()]
        return {"object": "balance", "available": [], "livemode": False, "pending": pending}

    def account(self, params: Params) -> Obj:
        """GET /v1/account."""
        return {
            "id": "acct_standin",
            "object": "account",
            "business_type": "company",
            "charges_enabled": True,
            "country": "US",
            "default_currency": "usd",
            "details_submitted": True,
            "payouts_enabled": True,
        }
