"""The plain pages: the index of r. and s. (usage and balance), and what a bare host says.

Refuses to be a web site; that is a part of its own.
"""

import re
from typing import Final

from gateway.control.call import Reply
from gateway.control.desk_parts import DeskParts
from gateway.control.owner import settled
from gateway.edge.exchange import Exchange
from gateway.keys.format import format_key_id

# The one page that is also told in plain text.
FRONT: Final = "page.front"
# What a Host header may look like to be shown again; anything else is replaced by the domain.
_HOST: Final = re.compile(
    r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?"
)


async def index(parts: DeskParts, exchange: Exchange, key_id: int | None) -> Reply:
    """How r. and s. are used; with a key also whose it is and what is left."""
    root = parts.settings.domain
    lines = {
        "usage1": f"https://r.{root}/YOUR_URL",
        "usage2": f"https://s.{root}/YOUR_SEARCH_QUERY",
        "homepage": f"https://{root}/",
    }
    labels = {"usage1": "Usage 1", "usage2": "Usage 2", "homepage": "Homepage"}
    if key_id is not None:
        await settled(parts, key_id)
        view = await parts.shelf.key_view(key_id)
        if view is not None:
            owner = f" ({view.owner})" if view.owner else ""
            lines["authenticatedAs"] = format_key_id(key_id) + owner
            lines["balanceLeft"] = str(view.balance.trial + view.balance.paid)
            labels |= {"authenticatedAs": "Authenticated As", "balanceLeft": "Balance Left"}
    accept = exchange.headers.get("Accept", "")
    if "application/json" in accept and "text/plain" not in accept:
        document: dict[str, object] = dict(lines)
        if "balanceLeft" in document:
            document["balanceLeft"] = int(lines["balanceLeft"])
        return Reply(200, {"code": 200, "status": 20000, "data": document})
    return Reply(200, "".join(f"[{labels[name]}] {text}\n" for name, text in lines.items()))


def front(parts: DeskParts, exchange: Exchange) -> Reply:
    """What this door offers, for a person with curl."""
    host = exchange.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        host = parts.settings.domain
    offered = [f"Sluice, the front door of {parts.settings.domain}", ""]
    offered.append(f"Read a page     curl http://{host}/r/https://example.com")
    offered.append(f"A trial key     curl -X POST http://{host}/v1/keys")
    offered.append(f"Its balance     curl http://{host}/v1/keys/me -H 'Authorization: Bearer KEY'")
    offered.append("")
    for product in parts.catalogue.products.values():
        state = "" if product.service in parts.settings.service_urls else "  (not deployed here)"
        path = product.paths[0] if product.paths else "/"
        offered.append(f"{product.name:20} {product.host}.{parts.settings.domain}{path}{state}")
    return Reply(200, "\n".join(offered) + "\n", {"vary": "Accept"})
