"""What is at which path besides the products: keys, billing, probes, lists, the old dashboard.

Refuses to do anything: a door is a name that `control` or the pipeline acts on.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What happens to a request."""

    PRODUCT = "product"  # admitted, metered, forwarded
    INDEX = "index"  # the front page of r. and s.: usage, and the balance of a key
    FORWARD = "forward"  # goes to a service without metering
    CONTROL = "control"  # answered by the gateway's own JSON API
    PROBE = "probe"  # health, live, ready
    PREFLIGHT = "preflight"  # a browser asks what it may send
    WEB = "web"  # pages for people
    DOCUMENT = "document"  # what the API is, for programs
    PRICE = "price"  # what a request would cost


@dataclass(frozen=True, slots=True)
class Door:
    """One method at one path. `{}` in the path is one segment and becomes a parameter."""

    method: str
    path: str
    kind: Kind
    name: str
    service: str | None = None
    needs_key: bool = False


_RECHARGE: Final = "/v1/billing/auto-recharge"
KEYS: Final = (
    Door("POST", "/v1/keys", Kind.CONTROL, "keys.mint"),
    Door("GET", "/v1/keys/me", Kind.CONTROL, "keys.show", needs_key=True),
    Door("DELETE", "/v1/keys/me", Kind.CONTROL, "keys.revoke", needs_key=True),
    Door("GET", "/v1/keys/me/usage", Kind.CONTROL, "keys.usage", needs_key=True),
    Door("GET", "/v1/keys/me/usage/export", Kind.CONTROL, "keys.export", needs_key=True),
    Door("GET", "/v1/keys/me/usage/days", Kind.CONTROL, "keys.days", needs_key=True),
    # For everybody: who kept a digest sees whether the books of that day were changed since.
    Door("GET", "/v1/closed-days", Kind.CONTROL, "closed_days"),
    Door("POST", "/v1/keys/me/transfer", Kind.CONTROL, "keys.transfer", needs_key=True),
    Door("GET", "/v1/requests/{}", Kind.CONTROL, "requests.show", needs_key=True),
    Door("GET", "/v1/requests/{}/trace", Kind.FORWARD, "trace", "deepsearch", needs_key=True),
    Door("POST", "/v1/price", Kind.PRICE, "price"),
    Door("GET", "/v1/billing/packs", Kind.CONTROL, "billing.packs"),
    Door("POST", "/v1/billing/checkout", Kind.CONTROL, "billing.checkout", needs_key=True),
    Door("GET", "/v1/billing/orders", Kind.CONTROL, "billing.orders", needs_key=True),
    Door("GET", _RECHARGE, Kind.CONTROL, "billing.recharge.show", needs_key=True),
    Door("PUT", _RECHARGE, Kind.CONTROL, "billing.recharge.allow", needs_key=True),
    Door("DELETE", _RECHARGE, Kind.CONTROL, "billing.recharge.stop", needs_key=True),
    # Stripe signs what it sends; it has no key of ours.
    Door("POST", "/v1/billing/webhook", Kind.CONTROL, "billing.webhook"),
)
# On every host but that of search, where each of these is a query.
PROBES: Final = (
    Door("GET", "/health", Kind.PROBE, "health"),
    Door("HEAD", "/health", Kind.PROBE, "health"),
    Door("GET", "/live", Kind.PROBE, "live"),
    Door("GET", "/ready", Kind.PROBE, "ready"),
)
# At no product's own host: there every path is a page or a query.
DOCUMENTS: Final = (
    Door("GET", "/openapi.json", Kind.DOCUMENT, "documents.openapi"),
    Door("GET", "/llms.txt", Kind.DOCUMENT, "documents.llms"),
    Door("GET", "/meta-prompt.txt", Kind.DOCUMENT, "documents.meta_prompt"),
    Door("GET", "/.well-known/security.txt", Kind.DOCUMENT, "documents.security"),
)
CLASSIFIERS: Final = (
    Door("GET", "/v1/classifiers", Kind.FORWARD, "classifiers", "classifier", needs_key=True),
    Door("GET", "/v1/classifiers/{}", Kind.FORWARD, "classifiers", "classifier", needs_key=True),
    Door("DELETE", "/v1/classifiers/{}", Kind.FORWARD, "classifiers", "classifier", needs_key=True),
)
# On the bare host the models are those of api.; deepsearch's own are on its host.
MODELS: Final = (
    Door("GET", "/v1/models", Kind.FORWARD, "models", "embeddings"),
    Door("GET", "/v1/models/{}", Kind.FORWARD, "models", "embeddings"),
)
API: Final = (
    *KEYS,
    *CLASSIFIERS,
    *MODELS,
    *DOCUMENTS,
    Door("GET", "/", Kind.PROBE, "health"),
    Door("HEAD", "/", Kind.PROBE, "health"),
)
DEEPSEARCH: Final = (
    Door("GET", "/v1/models", Kind.FORWARD, "models", "deepsearch"),
    Door("GET", "/v1/models/{}", Kind.FORWARD, "models", "deepsearch"),
    Door("GET", "/ping", Kind.PROBE, "ping"),
    Door("GET", "/", Kind.PROBE, "health"),
    Door("HEAD", "/", Kind.PROBE, "health"),
)
# The dashboard calls that published clients make (wire contract 9).
DASH: Final = (
    *DOCUMENTS,
    Door("POST", "/api/v1/api_key", Kind.CONTROL, "dash.mint"),
    Door("GET", "/api/v1/api_key/user", Kind.CONTROL, "dash.user"),
    Door("GET", "/api/v1/api_key/fe_user", Kind.CONTROL, "dash.user"),
    Door("GET", "/api/v1/authorization", Kind.CONTROL, "dash.authorization", needs_key=True),
    Door("GET", "/api/v1/billing/transaction", Kind.CONTROL, "dash.transactions", needs_key=True),
    Door("GET", "/api/v1/product", Kind.CONTROL, "dash.products"),
    Door("GET", "/api/v1/models", Kind.CONTROL, "dash.models"),
    Door("POST", "/api/v1/checkout_session", Kind.CONTROL, "dash.checkout", needs_key=True),
)
BARE: Final = (*KEYS, *CLASSIFIERS, *MODELS, *DOCUMENTS)
