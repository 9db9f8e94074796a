"""The headers that go back to a client: the service's own, cleaned, and ours.

Refuses hop-by-hop fields, internal ones, and whatever would let a service speak for the gateway.
"""

from typing import Final

from gateway.edge.answer_fields import Headers

_DROPPED: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"server",
        b"set-cookie",
        b"www-authenticate",
        b"alt-svc",
        b"strict-transport-security",
        b"retry-after",
        b"x-usage-tokens",
        b"x-usage-rule",
        b"x-charge-rule",
        b"x-request-id",
        b"x-content-type-options",
        b"ratelimit",
        b"ratelimit-policy",
    )
)
_EXPOSED: Final = ", ".join(
    (
        "x-request-id, x-usage-tokens, x-usage-rule, ratelimit, ratelimit-policy, retry-after",
        "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-scope, idempotent-replayed",
        "preference-applied",
        *(
            f"x-ratelimit-{fact}-{unit}"
            for fact in ("limit", "remaining", "reset")
            for unit in ("requests", "tokens")
        ),
    )
)
_DROPPED_PREFIXES: Final = (b"x-ratelimit-", b"x-sluice-", b"access-control-")


# On a bare host our pages are at the same origin as what a service answers: nothing of it may run
# there as a script of ours.
_RUNS: Final = (b"text/html", b"application/xhtml", b"image/svg", b"text/xml", b"application/xml")
_NO_SCRIPT: Final = b"content-security-policy: sandbox\r\n"
_AS_IT_SAYS: Final = b"x-content-type-options: nosniff\r\n"


def service_lines(fields: Headers) -> bytes:
    """The service's header lines that a client may see."""
    lines = [_AS_IT_SAYS]
    declared = _declared(fields)
    for name, value in fields:
        if name in _DROPPED or name in declared or name.startswith(_DROPPED_PREFIXES):
            continue
        lines.append(b"%b: %b\r\n" % (name, value))
        if name == b"content-type" and value.lower().startswith(_RUNS):
            lines.append(_NO_SCRIPT)
    return b"".join(lines)


def _declared(fields: Headers) -> list[bytes]:
    """The header names that a Connection header of the service declares hop-by-hop."""
    declared: list[bytes] = []
    for name, value in fields:
        if name == b"connection":
            declared += [part.strip().lower() for part in value.split(b",")]
    return declared


def usage_lines(tokens: int, rule: str) -> bytes:
    """What was charged, and by which rule."""
    return b"x-usage-tokens: %d\r\nx-usage-rule: %b\r\n" % (tokens, rule.encode("ascii"))


def retry_line(given: bytes | None) -> bytes:
    """The service's own Retry-After if it is in seconds, else one second."""
    seconds = int(given) if given is not None and given.isdigit() and len(given) < 6 else 1
    return b"retry-after: %d\r\n" % max(1, seconds)


def cors_lines(origin: str | None) -> bytes:
    """For a browser: the asking origin may read the answer and the headers that tell its price."""
    if not origin or len(origin) > 300 or not origin.isprintable() or not origin.isascii():
        return b""
    return (
        f"access-control-allow-origin: {origin}\r\nvary: Origin\r\n"
        "access-control-allow-credentials: true\r\n"
        f"access-control-expose-headers: {_EXPOSED}\r\n"
    ).encode("ascii")
