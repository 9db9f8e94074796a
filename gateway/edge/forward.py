"""What a service gets: the client's body untouched, allow-listed headers, and a signature.

Refuses to pass on credentials, cookies, hop-by-hop fields or anything else not on the product's
list. The signature is HMAC-SHA256 over method, path, body digest, request id, time and subject
(one per line), so that a service need trust nobody but the gateway; see `services/signing.py` for
the other side of this contract.
"""

import hashlib
from typing import Final

from gateway.products.product import Product

STREAMED: Final = "streamed"
# Larger bodies are forwarded as they come; their digest cannot be in the head.
MAX_SIGNED_BYTES: Final = 1024 * 1024

_USUAL_CONNECTION: Final = (b"keep-alive", b"close")
_BLOCK_BYTES: Final = 64
# Of a product; what else clients may call their headers is looked at each time.
_MOST_NAMES: Final = 500
_KEPT_BYTES: Final = 100
_BUDGET: Final = b"x-token-budget"

RawHeaders = tuple[tuple[bytes, bytes], ...]


class Signer:
    """Signs requests to services with one shared secret."""

    def __init__(self, secret: str) -> None:
        key = secret.encode("utf-8")
        key = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(
            _BLOCK_BYTES, b"\0"
        )
        # HMAC-SHA256 (RFC 2104) with both halves of the key hashed beforehand: a third of the time
        # of `hmac.digest`, which begins with fetching the algorithm.
        self._inner = hashlib.sha256(bytes(each ^ 0x36 for each in key))
        self._outer = hashlib.sha256(bytes(each ^ 0x5C for each in key))

    def lines(
        self, method: str, path: str, body: bytes | None, request_id: str, now_ms: int, subject: str
    ) -> str:
        """The header lines of one request; `body` None means that it is streamed."""
        digest = STREAMED if body is None else hashlib.sha256(body).hexdigest()
        text = f"{method}\n{path}\n{digest}\n{request_id}\n{now_ms}\n{subject}"
        mac = self._mac(text.encode("utf-8", "surrogateescape"))
        return (
            f"x-request-id: {request_id}\r\nx-sluice-time: {now_ms}\r\n"
            f"x-sluice-subject: {subject}\r\nx-sluice-body: {digest}\r\n"
            f"x-sluice-signature: v1={mac}\r\n"
        )

    def _mac(self, text: bytes) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.hexdigest()


class HeaderFilter:
    """`allowed_lines` that remembers of each name whether a product's service may see it."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Product, dict[bytes, bool]]] = {}

    def lines(self, product: Product, raw_headers: RawHeaders) -> bytes:
        """The same lines."""
        known = self._known.get(product.name)
        if known is None or known[0] is not product:
            known = self._known[product.name] = (product, {})
        names = known[1]
        lines = []
        for name, value in raw_headers:
            is_seen = names.get(name)
            if is_seen is None:
                lower = name.lower()
                if lower == b"connection":
                    return allowed_lines(product, raw_headers)
                is_seen = product.forwards(lower.decode("latin-1"))
                if len(names) < _MOST_NAMES and len(name) < _KEPT_BYTES:
                    names[name] = is_seen
            if is_seen and value:
                lines.append(b"%b: %b\r\n" % (name, value))
        return b"".join(lines)


def allowed_lines(product: Product, raw_headers: RawHeaders) -> bytes:
    """The client's headers that the product's service may see; an empty one is an absent one.

    What the client's Connection header names is for this connection only, whatever the list says.
    """
    names, prefixes = product.header_names, product.header_prefixes
    lines = []
    for name, value in raw_headers:
        lower = name.decode("latin-1").lower()
        if lower == "connection" and value.lower() not in _USUAL_CONNECTION:
            return _without_declared(product, raw_headers)
        if value and (lower in names or lower.startswith(prefixes)):
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join(lines)


def budgeted_lines(product: Product, raw_headers: RawHeaders, budget_tokens: int) -> bytes:
    """The same, with a budget that the service must keep to: the client's own if that is less.

    Only where the product knows such a header of clients; elsewhere it means nothing.
    """
    others, is_theirs = [], product.forwards(_BUDGET.decode("ascii"))
    for name, value in raw_headers:
        if name.lower() != _BUDGET:
            others.append((name, value))
        elif is_theirs and value.isdigit() and len(value) <= 15 and int(value):
            budget_tokens = min(budget_tokens, int(value))
    return allowed_lines(product, tuple(others)) + b"%b: %d\r\n" % (_BUDGET, budget_tokens)


def _without_declared(product: Product, raw_headers: RawHeaders) -> bytes:
    declared = {
        each.strip().lower()
        for name, value in raw_headers
        if name.lower() == b"connection"
        for each in value.split(b",")
    }
    kept = [
        (name, value)
        for name, value in raw_headers
        if name.lower() not in declared and name.lower() != b"connection"
    ]
    return allowed_lines(product, tuple(kept))


def request_head(
    method: str,
    path: str,
    host: bytes,
    fields: bytes,
    signature: str,
    length: int | None,
    *,
    has_body: bool,
) -> bytes:
    """The head of the request to the service; `length` None with a body means chunks."""
    if not has_body:
        framing = b"\r\n" if method == "GET" else b"content-length: 0\r\n\r\n"
    elif length is None:
        framing = b"transfer-encoding: chunked\r\n\r\n"
    else:
        framing = b"content-length: %d\r\n\r\n" % length
    line = f"{method} {path} HTTP/1.1\r\n".encode("utf-8", "surrogateescape")
    return b"".join((line, b"host: ", host, b"\r\n", fields, signature.encode("utf-8"), framing))
