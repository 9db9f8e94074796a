"""How a setting's text becomes its value; each reader raises ValueError with half a sentence.

Refuses to guess: what is not plainly right is a mistake, told without repeating a secret.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, urlsplit

_MAX_PORT: Final = 65_535
_SECRET_CHARACTERS: Final = 16
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
_KEY_PREFIX: Final = re.compile(r"[a-z][a-z0-9]{0,15}_")
_DATABASE: Final = re.compile(r"[0-9]{1,4}")
_SESSIONS: Final = ("any", "primary", "standby", "prefer-standby", "read-write", "read-only")
_DIGITS: Final = re.compile(r"-?[0-9]{1,18}")


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text):
            raise ValueError(f"must be a whole number, not {text!r}")
        if not low <= int(text) <= high:
            raise ValueError(f"must be between {low} and {high}, not {text}")
        return int(text)

    return read


def port(text: str) -> int:
    """A TCP port; 0 is any that is free."""
    return integer(0, _MAX_PORT)(text)


def domain(text: str) -> str:
    """A host name, in lower case."""
    if not _DOMAIN.fullmatch(text):
        raise ValueError(f"must be a host name such as example.com, not {text!r}")
    return text.lower()


def address(text: str) -> str:
    """An IP address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"must be an IP address, not {text!r}") from None


def networks(text: str) -> tuple[str, ...]:
    """CIDRs separated by commas."""
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            found.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise ValueError(f"must be CIDRs separated by commas; {part!r} is none") from None
    return tuple(found)


def key_prefix(text: str) -> str:
    """What every key begins with."""
    if not _KEY_PREFIX.fullmatch(text):
        raise ValueError("must be 1 to 16 lower-case letters or digits and end with an underscore")
    return text


def secret(text: str) -> str:
    """Something that cannot be guessed; never told back."""
    if len(text) < _SECRET_CHARACTERS:
        raise ValueError(f"must have at least {_SECRET_CHARACTERS} characters")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be of printable ASCII characters without spaces")
    return text


def secrets_of_rotation(text: str) -> str:
    """One secret, or several with commas while one replaces another; the first is in use."""
    return ",".join(secret(part.strip()) for part in text.split(","))


def word(text: str) -> str:
    """Any printable text."""
    if not text.isprintable():
        raise ValueError("must be of printable characters")
    return text


def log_form(text: str) -> str:
    """How log lines look."""
    if text not in ("auto", "text", "json"):
        raise ValueError(f"must be auto, text or json, not {text!r}")
    return text


def texts(text: str) -> tuple[str, ...]:
    """Printable texts with commas."""
    return tuple(word(part.strip()) for part in text.split(",") if part.strip())


def yes_or_no(text: str) -> bool:
    """Whether something is on."""
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"must be yes or no, not {text!r}")
    return text.lower() == "yes"


def server_origin(text: str) -> str:
    """Scheme, host and port of a web server, and nothing behind it."""
    parts = _parts(text, "http", "https")
    if not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be an address such as https://api.example.com, without a path")
    return text.rstrip("/")


def return_address(text: str) -> str:
    """Where a browser is sent."""
    if not _parts(text, "http", "https").hostname or not text.isprintable() or " " in text:
        raise ValueError("must be a whole address such as https://example.com/thanks")
    return text


def page_origin(text: str) -> str:
    """Scheme, host and port of pages."""
    parts = _parts(text, "http", "https")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must be an origin such as https://dash.example.com")
    if parts.username is not None or not text.isprintable() or " " in text:
        raise ValueError("must be an origin such as https://dash.example.com")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def issuer_url(text: str) -> str:
    """An identity provider, over TLS unless it is on this machine."""
    parts = _parts(service_url(text), "http", "https")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https: its word is believed because of TLS")
    return text


def smtp_url(text: str) -> str:
    """A mail server; has a password, so it is not told back."""
    parts = _parts(text, "smtp", "smtps")
    if not parts.hostname:
        raise ValueError("must name a host")
    if parts.query not in ("", "tls=no") or parts.path not in ("", "/"):
        raise ValueError("must end after its host and port, or with ?tls=no")
    return text


def mail_sender(text: str) -> str:
    """A mail address."""
    name, at, host = text.rpartition("@")
    if not (name and at and host) or not text.isascii() or not text.isprintable():
        raise ValueError("must be a mail address")
    if " " in text or "<" in text:
        raise ValueError("must be a mail address and nothing else")
    return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def folder(text: str) -> Path:
    """A folder that is there or can be made; `~` is the home of who starts us."""
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise ValueError(f"names a home that does not exist: {text}") from None
    if path.exists() and not path.is_dir():
        raise ValueError(f"is a file and should be a folder: {text}")
    return path


def readable_file(text: str) -> Path:
    """A file that is there."""
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"names no readable file: {text}")
    return path


def postgres_url(text: str) -> str:
    """The address of a PostgreSQL, or of several; may have a password, so it is not told back."""
    for one in _each_host(text):
        if not _parts(one, "postgresql", "postgres").hostname and one != text:
            raise ValueError("names a server without a name between its commas")
    # Of one address: all hosts together are none to a reader of addresses.
    query = urlsplit(next(_each_host(text))).query
    wanted = parse_qs(query).get("target_session_attrs", ["any"])[0]
    if wanted not in _SESSIONS:
        raise ValueError(f"must have a target_session_attrs of {', '.join(_SESSIONS)}, or none")
    return text


def redis_url(text: str) -> str:
    """The address of a Redis, or several of a cluster; may have a password: it is not told back."""
    for one in _each_host(text):
        parts = _parts(one, "redis", "rediss", "unix")
        if not parts.hostname and one != text:
            raise ValueError("names a server without a name between its commas")
        if parts.scheme == "unix":
            _absolute(parts)
            database = parse_qs(parts.query).get("db", ["0"])[0]
        else:
            database = parts.path.strip("/") or "0"
        if not _DATABASE.fullmatch(database):
            raise ValueError("must name its database by a number, such as redis://127.0.0.1:6379/0")
    return text


def _each_host(text: str) -> Iterator[str]:
    """One address for each server: `a:5432,b:5433` is no host and port to a reader of addresses."""
    scheme, middle, rest = text.partition("://")
    netloc = rest.split("/")[0].split("?")[0]
    user, at, hosts = netloc.rpartition("@")
    for host in hosts.split(","):
        yield f"{scheme}{middle}{user}{at}{host}{rest.removeprefix(netloc)}"


def service_url(text: str) -> str:
    """Where a service listens."""
    parts = _parts(text, "http", "https", "unix")
    if parts.scheme == "unix":
        _absolute(parts)
    elif not parts.hostname:
        raise ValueError("must name a host")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("must have no user, query or fragment")
    return text


def _parts(text: str, *schemes: str) -> SplitResult:
    wanted = f"must begin with one of {', '.join(f'{s}:' for s in schemes)}"
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("is no address of a server") from None
    if parts.scheme not in schemes:
        raise ValueError(wanted)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError(f"must have a port between 0 and {_MAX_PORT}, or none") from None
    return parts


def _absolute(parts: SplitResult) -> None:
    if parts.hostname or not parts.path.startswith("/"):
        raise ValueError("must name the socket by its whole path, such as unix:/run/a.sock")
