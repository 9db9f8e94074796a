"""The doors of the documents: OpenAPI, the texts for language models, whom to tell of a weakness.

Refuses to build a document for every request: those of a few addresses are kept.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson

from gateway.control.documents.building import build
from gateway.control.documents.origins import Origins, origins_of
from gateway.control.documents.prompt import llms, meta_prompt
from gateway.control.web.cookies import is_secure
from gateway.edge import refusals
from gateway.edge.exchange import Exchange
from gateway.edge.hosts import Route
from gateway.edge.passing import cors_lines
from gateway.edge.pipeline import refuse
from gateway.products.offer import Offer
from gateway.products.product import Catalogue
from gateway.settings import Settings

# Hosts are said by whoever asks; more than a few are nobody's.
_MOST_KEPT: Final = 32
_LIFE: Final = timedelta(days=180)
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"


def _openapi(catalogue: Catalogue, origins: Origins) -> bytes:
    return orjson.dumps(build(catalogue, origins))


def _llms(catalogue: Catalogue, origins: Origins) -> bytes:
    return llms(catalogue, origins).encode()


def _meta_prompt(catalogue: Catalogue, origins: Origins) -> bytes:
    return meta_prompt(catalogue, origins).encode()


_MAKERS: Final[dict[str, tuple[str, Callable[[Catalogue, Origins], bytes]]]] = {
    "documents.openapi": (_JSON, _openapi),
    "documents.llms": (_TEXT, _llms),
    "documents.meta_prompt": (_TEXT, _meta_prompt),
}


@dataclass(slots=True)
class Papers:
    """Answers Kind.DOCUMENT."""

    settings: Settings
    catalogue: Offer
    _kept: OrderedDict[tuple[str, str, Origins], bytes] = field(default_factory=OrderedDict)

    async def answer(self, exchange: Exchange, route: Route, request_id: str) -> None:
        """One document; a browser of another origin may read it."""
        if route.name == "documents.security":
            await self._security(exchange, route, request_id)
            return
        kind, _ = _MAKERS[route.name]
        origins = origins_of(
            exchange.headers.get("Host", ""),
            self.settings.domain,
            secure=is_secure(exchange),
        )
        await _send(exchange, request_id, kind, self._document(route.name, origins))

    def _document(self, name: str, origins: Origins) -> bytes:
        version = self.catalogue.version
        found = self._kept.get((version, name, origins))
        if found is None:
            found = _MAKERS[name][1](self.catalogue.now, origins)
            self._kept[version, name, origins] = found
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
        return found

    async def _security(self, exchange: Exchange, route: Route, request_id: str) -> None:
        contact = self.settings.security_contact
        if contact is None:
            problem = refusals.not_found("file", "security.txt")
            await refuse(exchange, problem, route.family, request_id)
            return
        expires = (datetime.now(UTC) + _LIFE).strftime("%Y-%m-%dT00:00:00Z")
        text = f"Contact: {contact}\nExpires: {expires}\nPreferred-Languages: en\n"
        await _send(exchange, request_id, _TEXT, text.encode())


async def _send(exchange: Exchange, request_id: str, kind: str, body: bytes) -> None:
    lines = (
        f"content-type: {kind}\r\nx-request-id: {request_id}\r\n"
        "cache-control: public, max-age=300\r\nvary: Host, X-Forwarded-Proto\r\n"
        "x-content-type-options: nosniff\r\n"
    )
    await exchange.send(
        200, lines.encode("ascii") + cors_lines(exchange.headers.get("Origin")), body
    )
