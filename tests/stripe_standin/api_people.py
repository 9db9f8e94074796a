"""The API about buyers: customers and their payment methods."""

from collections.abc import Sequence

from tests.stripe_standin import shapes
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed
from tests.stripe_standin.payments import TEST_METHODS
from tests.stripe_standin.routes import Route

_TEXTS = ("description", "email", "name", "phone")


class People:
    """Customers, and how they pay."""

    def __init__(self, desk: Desk) -> None:
        self._world = desk.world
        self._payments = desk.payments

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        one, method = "/v1/customers/{}", "/v1/payment_methods/{}"
        return (
            Route("POST", "/v1/customers", self.create),
            Route("GET", "/v1/customers", self.page),
            Route("GET", one, self.retrieve),
            Route("POST", one, self.update),
            Route("DELETE", one, self.delete),
            Route("GET", f"{one}/payment_methods", self.methods_of),
            Route("GET", f"{one}/payment_methods/{{}}", self.method_of),
            Route("GET", "/v1/payment_methods", self.methods),
            Route("POST", "/v1/payment_methods", self.create_method),
            Route("GET", method, self.method),
            Route("POST", f"{method}/attach", self.attach),
            Route("POST", f"{method}/detach", self.detach),
        )

    def create(self, params: Params) -> Obj:
        """POST /v1/customers."""
        made = shapes.customer(self._world)
        self._change(made, params)
        self._world.add(made)
        self._world.emit("customer.created", made)
        return made

    def page(self, params: Params) -> Obj:
        """GET /v1/customers."""
        kept = [one for one in self._world.all("customer") if not one.get("deleted")]
        return listed(self._world, kept, params, "/v1/customers", ("email",))

    def retrieve(self, params: Params, name: str) -> Obj:
        """GET /v1/customers/{}: a deleted one says only that."""
        found = self._world.get("customer", name)
        if found.get("deleted"):
            return {"id": name, "object": "customer", "deleted": True}
        return found

    def update(self, params: Params, name: str) -> Obj:
        """POST /v1/customers/{}."""
        found = self._alive(name, "id", 404)
        self._change(found, params)
        self._world.emit("customer.updated", found)
        return found

    def delete(self, params: Params, name: str) -> Obj:
        """DELETE /v1/customers/{}."""
        found = self._alive(name, "id", 404)
        found["deleted"] = True
        for method in self._methods(name):
            method["customer"] = None
        self._world.emit("customer.deleted", found)
        return {"id": name, "object": "customer", "deleted": True}

    def methods_of(self, params: Params, name: str) -> Obj:
        """GET /v1/customers/{}/payment_methods."""
        self._alive(name, "id", 404)
        url = f"/v1/customers/{name}/payment_methods"
        return listed(self._world, self._methods(name), params, url, ("type",))

    def method_of(self, params: Params, name: str, method: str) -> Obj:
        """GET /v1/customers/{}/payment_methods/{}."""
        found = self._world.get("payment_method", method, param="payment_method")
        if found["customer"] != name:
            raise ApiError(404, f"No such PaymentMethod: '{method}'", code="resource_missing")
        return found

    def methods(self, params: Params) -> Obj:
        """GET /v1/payment_methods."""
        every = self._world.all("payment_method")
        return listed(self._world, every, params, "/v1/payment_methods", ("customer", "type"))

    def create_method(self, params: Params) -> Obj:
        """POST /v1/payment_methods: by a card's token of the test mode."""
        params.need("type", among=("card",))
        token = params.inner("card").text("token") or "tok_visa"
        return self.known(token.replace("tok_", "pm_card_"), "card[token]")

    def method(self, params: Params, name: str) -> Obj:
        """GET /v1/payment_methods/{}."""
        return self.known(name, "payment_method", 404)

    def attach(self, params: Params, name: str) -> Obj:
        """POST /v1/payment_methods/{}/attach."""
        found = self.known(name, "payment_method", 404)
        customer = self._alive(params.need("customer"), "customer", 400)
        if found["customer"] not in (None, customer["id"]):
            raise invalid("The payment method is attached to another customer.", "payment_method")
        self._payments.attach(found, customer["id"])
        return found

    def detach(self, params: Params, name: str) -> Obj:
        """POST /v1/payment_methods/{}/detach."""
        found = self.known(name, "payment_method", 404)
        if found["customer"] is None:
            told = "The payment method you provided is not attached to a customer"
            raise invalid(told, "payment_method")
        found["customer"] = None
        self._world.emit("payment_method.detached", found)
        return found

    def known(self, name: str, param: str, status: int = 400) -> Obj:
        """The method with this id; a token of the test mode makes a new one."""
        if name in TEST_METHODS:
            kind = "sepa_debit" if "card" not in name else "card"
            details = shapes.billing_details(None, None, None)
            return self._payments.method(kind, TEST_METHODS[name], details)
        return self._world.get("payment_method", name, param=param, status=status)

    def _methods(self, customer: str) -> list[Obj]:
        every = self._world.all("payment_method")
        return [one for one in every if one["customer"] == customer]

    def _alive(self, name: str, param: str, status: int) -> Obj:
        found = self._world.get("customer", name, param=param, status=status)
        if found.get("deleted"):
            raise ApiError(
                status, f"No such customer: '{name}'", code="resource_missing", param=param
            )
        return found

    def _change(self, customer: Obj, params: Params) -> None:
        for name in _TEXTS:
            if params.has(name):
                customer[name] = params.text(name)
        if params.has("metadata"):
            customer["metadata"] = {**customer["metadata"], **params.metadata()}
        default = params.inner("invoice_settings").text("default_payment_method")
        if default is not None:
            found = self.known(default, "invoice_settings[default_payment_method]")
            customer["invoice_settings"]["default_payment_method"] = found["id"]
        if params.has("payment_method"):
            found = self.known(params.need("payment_method"), "payment_method")
            self._payments.attach(found, customer["id"])
