"""The doors of the pages: gathers what a page shows, renders it, sends it with its headers.

Refuses to keep or pack a page of somebody who is signed in: the token of writes is in it.
"""

import gzip
import hashlib
from dataclasses import replace
from typing import Final

from gateway.control.call import Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.documents.reference import FOLDER, Reference
from gateway.control.web import headers, key_calls, opening, views
from gateway.control.web.cookies import LANGUAGE, is_secure, set_cookie
from gateway.control.web.texts import Texts
from gateway.control.web.visit import Visit, Web, nobody_of, visit_of
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.errors import PostgresUnavailable, RedisUnavailable

_YEAR_S: Final = 31_536_000


class PageDoor:
    """Answers the doors of the pages."""

    def __init__(self, parts: DeskParts, web: Web) -> None:
        self._parts = parts
        self._web = web
        products = parts.catalogue.products.values()
        self._labels = sorted({product.host for product in products})
        self._views = {**views.VIEWS, "docs": Reference(Texts(FOLDER)).page}

    async def answer(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """A page; while a store is away one without what it would have told."""
        name = route.name.removeprefix("page.")
        try:
            visit = await visit_of(self._parts, self._web, exchange, route, request_id)
            visit = await self._with_living_key(visit)
            data = {**await self._views[name](visit), "away": False}
            status, template = 200, f"{name}.html"
            session = await opening.document(visit, visit.session)
            await self._note_language(visit)
        except (PostgresUnavailable, RedisUnavailable):
            visit = nobody_of(self._parts, self._web, exchange, route, request_id)
            data, status, template = {"away": True}, 503, "away.html"
            if name == "status":
                # Then above all people want to know what works.
                data, status, template = await views.status_while_away(visit), 200, "status.html"
            session = await opening.document(visit, None)
        body = self._rendered(visit, template, {**data, "page": name, "session": session})
        await self._send_page(visit, status, body)

    async def _note_language(self, visit: Visit) -> None:
        """Letters are written in the language that was chosen last."""
        session = visit.session
        if session is not None and session.account_id is not None and "lang" in visit.query:
            await self._web.people.speaks(session.account_id, visit.language)

    async def _with_living_key(self, visit: Visit) -> Visit:
        session = visit.session
        if session is None or session.key_id is None:
            return visit
        row = await self._parts.book.load_balance(session.key_id)
        if row is not None and row.status != "revoked":
            return visit
        await key_calls.without_key(visit, Reply(200, None))
        without = replace(session, key_id=None) if session.account_id is not None else None
        return replace(visit, session=without)

    def _rendered(self, visit: Visit, template: str, data: views.Data) -> bytes:
        words = self._web.texts.of(visit.language)
        context = {
            "t": words,
            "lang": visit.language,
            "languages": self._web.texts.languages,
            "path": visit.exchange.target.partition("?")[0],
            "domain": self._parts.settings.domain,
            "query": visit.query,
            **data,
        }
        return self._web.templates.render(template, context).encode()

    async def _send_page(self, visit: Visit, status: int, body: bytes) -> None:
        exchange, session = visit.exchange, visit.session
        pairs = [
            ("content-type", "text/html; charset=utf-8"),
            ("content-language", visit.language),
            ("x-request-id", visit.request_id),
            ("vary", "Accept, Accept-Encoding, Accept-Language, Cookie"),
        ]
        if session is not None:
            pairs.append(("set-cookie", opening.cookie_of(visit, session)["set-cookie"]))
        if self._web.texts.known(visit.query.get("lang")):
            secure = is_secure(exchange)
            kept = set_cookie(LANGUAGE, visit.language, life_s=_YEAR_S, secure=secure)
            pairs.append(("set-cookie", kept))
        if session is not None or status != 200:
            # It has the token of writes in it: neither kept nor packed, whose length tells much.
            pairs.append(("cache-control", "no-store"))
        else:
            pairs.append(("cache-control", "no-cache"))
            etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            pairs.append(("etag", etag))
            if exchange.headers.get("If-None-Match") == etag:
                status, body = 304, b""
            elif headers.takes_gzip(exchange):
                pairs.append(("content-encoding", "gzip"))
                body = gzip.compress(body, 5, mtime=0)
        more = headers.of_page(exchange, self._parts.settings, self._labels)
        await exchange.send(status, headers.lines(pairs) + more, body)
