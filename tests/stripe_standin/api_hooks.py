"""The API about webhook endpoints."""

import secrets
from collections.abc import Sequence

from tests.stripe_standin import shapes
from tests.stripe_standin.courier import Courier, Endpoint
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import Obj
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed
from tests.stripe_standin.routes import Route


class Hooks:
    """Endpoints that events are delivered to."""

    def __init__(self, desk: Desk, courier: Courier) -> None:
        self._world = desk.world
        self._courier = courier

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        one = "/v1/webhook_endpoints/{}"
        return (
            Route("POST", "/v1/webhook_endpoints", self.create),
            Route("GET", "/v1/webhook_endpoints", self.page),
            Route("GET", one, self.retrieve),
            Route("DELETE", one, self.delete),
        )

    def create(self, params: Params) -> Obj:
        """POST /v1/webhook_endpoints: only this answer tells the secret."""
        made = shapes.base(
            self._world,
            "webhook_endpoint",
            "we",
            api_version=params.text("api_version"),
            application=None,
            description=params.text("description"),
            enabled_events=params.texts("enabled_events"),
            status="enabled",
            url=params.need("url"),
        )
        if not made["enabled_events"]:
            raise params.lacks("enabled_events")
        made["metadata"] = params.metadata()
        self._world.add(made)
        secret = "whsec_" + secrets.token_hex(16)
        self._courier.endpoints.append(Endpoint(made["url"], [secret], made["enabled_events"]))
        return {**made, "secret": secret}

    def page(self, params: Params) -> Obj:
        """GET /v1/webhook_endpoints."""
        every = self._world.all("webhook_endpoint")
        return listed(self._world, every, params, "/v1/webhook_endpoints")

    def retrieve(self, params: Params, name: str) -> Obj:
        """GET /v1/webhook_endpoints/{}."""
        return self._world.get("webhook_endpoint", name)

    def delete(self, params: Params, name: str) -> Obj:
        """DELETE /v1/webhook_endpoints/{}."""
        found = self._world.get("webhook_endpoint", name)
        del self._world.tables["webhook_endpoint"][name], self._world.kinds[name]
        kept = [one for one in self._courier.endpoints if one.url != found["url"]]
        self._courier.endpoints[:] = kept
        return {"id": name, "object": "webhook_endpoint", "deleted": True}
