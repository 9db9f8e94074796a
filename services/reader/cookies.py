"""Cookies that a client sends along with his request: what they say, and where they may go. Pure.

The syntax is that of Set-Cookie. It refuses cookies without a name and with characters that a
header cannot carry; nothing that a target sets is ever kept.
"""

from dataclasses import dataclass
from typing import Final

from services.reader.asked import check_header, wrong
from services.reader.target import Target

COOKIES: Final = 100
COOKIE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie. `domain` is empty if it belongs to the host first asked, and to no other."""

    name: str
    value: str
    domain: str
    path: str
    secure: bool


def parse(texts: tuple[str, ...]) -> tuple[Cookie, ...]:
    """The cookies of Set-Cookie texts. Raises OptionError."""
    if len(texts) > COOKIES:
        raise wrong("setCookies", f"More than {COOKIES} cookies")
    return tuple(_cookie(text) for text in texts)


def header(cookies: tuple[Cookie, ...], target: Target, first_host: str) -> str:
    """The Cookie header for one hop, empty if none of them belongs there."""
    return "; ".join(
        f"{cookie.name}={cookie.value}"
        for cookie in cookies
        if _belongs(cookie, target, first_host)
    )


def _cookie(text: str) -> Cookie:
    pair, *attributes = text.split(";")
    name, equals, value = pair.strip().partition("=")
    check_header("setCookies", text)
    if not equals or not name.strip() or len(pair) > COOKIE_BYTES:
        raise wrong("setCookies", f"Not a cookie of the form name=value: {pair[:80]!r}")
    said = {
        key.strip().lower(): said.strip()
        for key, _, said in (attribute.partition("=") for attribute in attributes)
    }
    path = said.get("path", "/")
    return Cookie(
        name.strip(),
        value.strip(),
        said.get("domain", "").lower().lstrip("."),
        path if path.startswith("/") else "/",
        "secure" in said,
    )


def _belongs(cookie: Cookie, target: Target, first_host: str) -> bool:
    if cookie.domain:
        host_fits = target.host == cookie.domain or target.host.endswith("." + cookie.domain)
    else:
        host_fits = target.host == first_host
    path = target.rest.partition("?")[0]
    folder = cookie.path.rstrip("/")
    path_fits = path == folder or path.startswith(folder + "/")
    return host_fits and path_fits and (target.scheme == "https" or not cookie.secure)
