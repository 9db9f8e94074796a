"""What the client wants read: the URL after the host, in every spelling that clients use. Pure.

Refuses what is not an http or https URL with a host.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote, urljoin

from services.reader.hosts import canonical
from services.reader.refusals import Refusal, bad_option
from services.settings import DEFAULT_PORTS, Origin

# Longer URLs are refused by most servers; the gateway's own line limit is near.
URL_CHARACTERS: Final = 32_768
SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):[/\\]")
WEB_SCHEME: Final = re.compile(r"(https?):[/\\]*", re.IGNORECASE)
PROTOCOL_WORD: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+-]*):(?![0-9]{1,5}(?:[/?#\\]|$))")
ENCODED_HEAD: Final = re.compile(r"[^/?#]*%(?:2f|3a)", re.IGNORECASE)
# Kept as they are when a path or query is put into its standard form.
SAFE: Final = "!#$%&'()*+,-./:;=?@[]_~|{}^`\\\""
STRIPPED: Final = {ord(character): None for character in "\t\r\n"}


@dataclass(frozen=True, slots=True)
class Target:
    """An http(s) URL taken apart. `host` is canonical, without brackets; `rest` starts with `/`."""

    scheme: str
    host: str
    port: int
    rest: str
    userinfo: str = ""
    fragment: str = ""

    @property
    def origin(self) -> Origin:
        return Origin(self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Without user name, password and fragment: fit to be shown and logged."""
        return f"{self.scheme}://{self.authority}{self.rest}"


def from_path(raw_path: str) -> str:
    """The target in the raw request path `/<url>`; empty if there is none.

    A URL that came percent-encoded as one piece is decoded once; a bare one is left as it is, so
    that `%26` in its query stays data.
    """
    text = raw_path.removeprefix("/")
    if ENCODED_HEAD.match(text):
        head, mark, query = text.partition("?")
        return unquote(head) + mark + query
    return text


def parse(text: str, own_hosts: frozenset[str] = frozenset()) -> Target | Refusal:
    """The target named by `text`; own prefixes, doubled schemes and `view-source:` are stripped."""
    cleaned = _strip_prefixes(_clean(text), own_hosts)
    if not cleaned:
        return bad_option("url", "No URL provided")
    if len(cleaned) > URL_CHARACTERS:
        return bad_option("url", f"The URL is longer than {URL_CHARACTERS} characters")
    scheme = WEB_SCHEME.match(cleaned)
    if scheme is not None:
        return _split(scheme[1].lower(), cleaned[scheme.end() :], cleaned)
    other = SCHEME.match(cleaned) or PROTOCOL_WORD.match(cleaned)
    if other is not None and "." not in other[1]:
        return bad_option("url", f"Invalid protocol {other[1].lower()}:")
    return _split("http", cleaned.lstrip("/\\"), cleaned)


def join(base: Target, location: str) -> Target | Refusal:
    """Where the `Location` header of an answer from `base` leads."""
    reference = _clean(location).replace("\\", "/")
    absolute = urljoin(base.url, reference)
    scheme = WEB_SCHEME.match(absolute)
    if scheme is None:
        return bad_option("url", f"Invalid protocol in redirect from {base.url}")
    return _split(scheme[1].lower(), absolute[scheme.end() :], absolute)


def _clean(text: str) -> str:
    """As the URL standard does: no control characters or blanks around, no line breaks within."""
    return text.strip("".join(map(chr, range(33)))).translate(STRIPPED)


def _strip_prefixes(text: str, own_hosts: frozenset[str]) -> str:
    while True:
        before = text
        if text[:12].lower() == "view-source:":
            text = text[12:]
        scheme = WEB_SCHEME.match(text)
        rest = text[scheme.end() :] if scheme else text
        if scheme is not None and WEB_SCHEME.match(rest):
            text = rest
        host, slash, tail = rest.partition("/")
        if slash and host.lower() in own_hosts and _looks_like_target(tail):
            text = tail.removeprefix("r/") if tail.startswith("r/") else tail
        if text == before:
            return text


def _looks_like_target(tail: str) -> bool:
    """Whether what follows an own host is a URL to read, and not a path of our own."""
    return WEB_SCHEME.match(tail.removeprefix("r/")) is not None


def _split(scheme: str, rest: str, shown: str) -> Target | Refusal:
    """Authority, path and query of `rest`, in which a backslash is a slash before the query."""
    rest, _, fragment = rest.partition("#")
    path, mark, query = rest.partition("?")
    authority, _, path = path.replace("\\", "/").partition("/")
    userinfo, _, hostport = authority.rpartition("@")
    host_text, port = _host_and_port(hostport, DEFAULT_PORTS[scheme])
    host = canonical(host_text)
    if host is None or port is None:
        return bad_option("url", f"Invalid URL {shown[:200]!r}")
    target = quote(f"/{path}{mark}{query}", safe=SAFE, errors="replace")
    return Target(scheme, host, port, target, userinfo, fragment)


def _host_and_port(hostport: str, default: int) -> tuple[str, int | None]:
    host, colon, port = hostport.rpartition(":")
    if not colon or hostport.endswith("]"):
        return hostport, default
    if not port:
        return host, default
    if not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 65_536:
        return host, None
    return host, int(port)
