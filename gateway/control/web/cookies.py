"""Cookies and origins: what a browser says of itself, and what it is told to keep.

Refuses to trust a page of another origin: a write must say that it comes from here.
"""

from typing import Final
from urllib.parse import urlsplit

from gateway.edge.exchange import Exchange

SESSION: Final = "sluice_session"
# The name behind TLS: a browser takes it from nobody but this very host, not from r. or s. either.
HOST_SESSION: Final = f"__Host-{SESSION}"
LANGUAGE: Final = "lang"
PROVIDER: Final = "sluice_provider"
_PORTS: Final = {"http": "80", "https": "443"}
_MOST_CHARACTERS: Final = 512


def cookie(exchange: Exchange, name: str) -> str | None:
    """The value of a cookie, the first if there are several; None if there is none."""
    for line in exchange.headers.getall("Cookie", ()):
        for part in line.split(";"):
            found, equals, value = part.strip().partition("=")
            if found == name and equals and len(value) <= _MOST_CHARACTERS:
                return value
    return None


def set_cookie(name: str, value: str, *, life_s: int, secure: bool) -> str:
    """The value of a Set-Cookie header; a life of 0 ends the cookie."""
    text = f"{name}={value}; Path=/; Max-Age={life_s}; HttpOnly; SameSite=Lax"
    return f"{text}; Secure" if secure else text


def is_secure(exchange: Exchange) -> bool:
    """Whether the browser speaks TLS to whoever is in front of us.

    A browser says so itself in Origin, and by a cookie that it sends by TLS alone; a proxy says it
    in X-Forwarded-Proto. Who lies harms only his own cookie.
    """
    if cookie(exchange, HOST_SESSION) is not None:
        return True
    origin = exchange.headers.get("Origin", "")
    return origin.startswith("https://") or (
        exchange.headers.get("X-Forwarded-Proto", "").lower() == "https"
    )


def is_same_origin(exchange: Exchange) -> bool:
    """Whether a page of the very host that is asked makes this call."""
    origin = exchange.headers.get("Origin")
    if origin is None:
        return exchange.headers.get("Sec-Fetch-Site") == "same-origin"
    try:
        parts = urlsplit(origin)
        scheme, netloc = parts.scheme, parts.netloc
    except ValueError:
        return False
    host = exchange.headers.get("Host", "")
    return scheme in _PORTS and bool(netloc) and _whole(netloc, scheme) == _whole(host, scheme)


def _whole(host: str, scheme: str) -> str:
    """The host with its port, in lower case."""
    host = host.lower()
    has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    return host if has_port else f"{host}:{_PORTS[scheme]}"
