"""`_token`: a key in the query of r. and s., for clients that cannot send a header (contract 0.2).

Taken out before anything else sees the target: no service, no fetched page and no log gets it.
Refuses to look at what does not begin as our keys do: pages have fields of that name themselves.
"""

import re
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from gateway.edge.exchange import Exchange

NAME: Final = "_token"
_NAME_BYTES: Final = NAME.encode()


class TokenField:
    """Knows keys by their prefix."""

    def __init__(self, key_prefix: str) -> None:
        key = re.escape(key_prefix)
        self._in_query = re.compile(rf"([?&]){NAME}=({key}[^&#]*)(&?)")
        # A member of a JSON object, or a field of a form.
        member = rf'"{NAME}"\s*:\s*"{key}|(?:^|&){NAME}={key}|name="{NAME}"\s*?{key}'
        self._in_body = re.compile(member.encode())

    def take(self, exchange: Exchange) -> None:
        """Make the key of the query the request's Authorization, unless it has one already."""
        found = self._in_query.search(exchange.target)
        if found is None:
            return
        target = exchange.target
        while (each := self._in_query.search(target)) is not None:
            # `?a&_token=k&b` keeps its first mark and loses its last; at the end both go.
            mark = each[1] if each[3] else ""
            target = target[: each.start()] + mark + target[each.end() :]
        exchange.target = target
        if not exchange.headers.get("Authorization"):
            headers = CIMultiDict(exchange.headers)
            headers["Authorization"] = found[2]
            exchange.headers = CIMultiDictProxy(headers)

    def in_body(self, body: bytes) -> bool:
        """Whether a key was put into a body, where it would go on to a service."""
        return _NAME_BYTES in body and self._in_body.search(body) is not None
