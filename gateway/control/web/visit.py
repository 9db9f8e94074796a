"""One request of a browser to the web side, and what its handlers work with.

Refuses to name who asks by anything but the session.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.control.call import Call, query_of
from gateway.control.desk_parts import DeskParts
from gateway.control.web.cookies import LANGUAGE, cookie
from gateway.control.web.letters import Letters
from gateway.control.web.oidc import Provider
from gateway.control.web.people import People
from gateway.control.web.sessions import Session, Sessions
from gateway.control.web.statics import Statics
from gateway.control.web.templates import Templates
from gateway.control.web.texts import Texts
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route


@dataclass(frozen=True, slots=True)
class Web:
    """What the web side is made of, beside the desk; built by the composition root.

    `letters` None: none can be sent. `provider` None: nobody signs in at one.
    """

    sessions: Sessions
    people: People
    texts: Texts
    templates: Templates
    statics: Statics
    letters: Letters | None
    provider: Provider | None


@dataclass(frozen=True, slots=True)
class Visit:
    """A request: who (if anybody) is signed in, in which language, and what was sent."""

    parts: DeskParts
    web: Web
    exchange: Exchange
    route: Route
    request_id: str
    session: Session | None
    language: str
    query: Mapping[str, str]
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def signed_in(self) -> Session:
        """The session, where the door demands one."""
        assert self.session is not None, "the door has looked"
        return self.session

    @property
    def account_id(self) -> str:
        """The account, where the door demands one."""
        assert self.signed_in.account_id is not None, "the door has looked"
        return self.signed_in.account_id

    @property
    def key_id(self) -> int:
        """The key of the session, where the door demands one."""
        assert self.signed_in.key_id is not None, "the door has looked"
        return self.signed_in.key_id

    def call(
        self,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        receiver: int | None = None,
    ) -> Call:
        """The same call as the key's owner makes it under /v1."""
        return Call(
            self.exchange,
            self.route,
            self.request_id,
            None if self.session is None else self.session.key_id,
            self.query if query is None else query,
            self.body if body is None else body,
            receiver=receiver,
        )


async def visit_of(
    parts: DeskParts, web: Web, exchange: Exchange, route: Route, request_id: str
) -> Visit:
    """A request with the session that it has."""
    visit = nobody_of(parts, web, exchange, route, request_id)
    return replace(visit, session=await web.sessions.find(exchange))


def nobody_of(
    parts: DeskParts, web: Web, exchange: Exchange, route: Route, request_id: str
) -> Visit:
    """A request as if nobody were signed in: no store is asked."""
    query = query_of(exchange.target)
    wished = (query.get("lang"), cookie(exchange, LANGUAGE))
    language = web.texts.choose(wished, exchange.headers.get("Accept-Language", ""))
    return Visit(parts, web, exchange, route, request_id, None, language, query)
