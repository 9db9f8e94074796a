"""Security headers of pages and of what they fetch.

Refuses inline scripts, foreign frames and anything of another origin but the product hosts.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from gateway.control.web.cookies import is_secure
from gateway.edge.exchange import Exchange
from gateway.settings import Settings

_CHECKOUT: Final = "https://checkout.stripe.com"
# A host that can stand in a policy; any other one gets a policy without product hosts.
_DASH: Final = re.compile(r"dash\.([a-z0-9.-]{1,240}(?::[0-9]{1,5})?)", re.IGNORECASE)
_COMMON: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"),
)
_NOTHING: Final = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"
_HSTS: Final = ("strict-transport-security", "max-age=31536000")


def lines(pairs: Sequence[tuple[str, str]]) -> bytes:
    """Header lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in pairs).encode("latin-1")


def takes_gzip(exchange: Exchange) -> bool:
    """Whether the browser reads gzip."""
    wishes = exchange.headers.get("Accept-Encoding", "").lower().replace(" ", "").split(",")
    return "gzip" in wishes


def of_data(exchange: Exchange) -> bytes:
    """For JSON and static files."""
    return lines((*_COMMON, ("content-security-policy", _NOTHING), *_tls(exchange)))


def of_page(exchange: Exchange, settings: Settings, labels: Sequence[str]) -> bytes:
    """For a page; `labels` are the host labels where products are."""
    forms = " ".join(["'self'", _CHECKOUT, *_stand_in(settings)])
    products = " ".join(["'self'", *_products(exchange, labels)])
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; connect-src {products}; form-action {forms}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return lines((*_COMMON, ("content-security-policy", policy), *_tls(exchange)))


def _products(exchange: Exchange, labels: Sequence[str]) -> list[str]:
    """Where the products are, seen from dash.; on a bare host they are here."""
    found = _DASH.fullmatch(exchange.headers.get("Host", ""))
    if found is None:
        return []
    scheme = "https" if is_secure(exchange) else "http"
    return [f"{scheme}://{label}.{found[1].lower()}" for label in labels]


def _stand_in(settings: Settings) -> list[str]:
    """The origin of another Stripe, for tests."""
    parts = urlsplit(settings.stripe_api_base or "")
    return [f"{parts.scheme}://{parts.netloc}"] if parts.netloc else []


def _tls(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    return (_HSTS,) if is_secure(exchange) else ()
