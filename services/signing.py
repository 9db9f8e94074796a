"""Proves that a request comes from the gateway: an HMAC over its head, and the digest of its body.

It refuses everything else: a missing header, a stale time, a wrong signature, a wrong digest.
The signature is checked before a byte of the body is read, so a stranger costs one hash.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.wire import BODY_DIGEST, REQUEST_ID, SIGNATURE, SIGNED_TIME, STREAMED, SUBJECT

VERSION: Final = "v1="
# Clocks of machines in one deployment differ by less; a replay is of use for no longer.
TOLERANCE_MS: Final = 300_000
DIGEST_CHARACTERS: Final = 64
HEX_DIGITS: Final = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Signed:
    """A head that the gateway signed. `body_digest` is None when the body was streamed."""

    request_id: str
    subject: str
    body_digest: str | None


def verify_head(
    secret: bytes, method: str, path_with_query: str, headers: Mapping[str, str], now_ms: int
) -> Signed | str:
    """The signed facts, or one sentence that says why the request is refused."""
    fields = {name: headers.get(name, "") for name in _REQUIRED}
    missing = [name for name, value in fields.items() if not value]
    if missing:
        return f"missing header {missing[0]}"
    if not _is_fresh(fields[SIGNED_TIME], now_ms):
        return f"{SIGNED_TIME} is stale or not a time in milliseconds"
    digest = fields[BODY_DIGEST]
    if digest != STREAMED and not _is_digest(digest):
        return f"{BODY_DIGEST} is neither a SHA-256 in hex nor {STREAMED!r}"
    expected = sign(
        secret,
        method=method,
        path_with_query=path_with_query,
        body_digest=digest,
        request_id=fields[REQUEST_ID],
        time_ms=fields[SIGNED_TIME],
        subject=fields[SUBJECT],
    )
    given = fields[SIGNATURE].encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(expected.encode(), given):
        return f"{SIGNATURE} does not match"
    return Signed(fields[REQUEST_ID], fields[SUBJECT], None if digest == STREAMED else digest)


def body_matches(signed: Signed, body: bytes) -> bool:
    """Whether `body` is what the gateway digested. A streamed body is vouched for by its head."""
    if signed.body_digest is None:
        return True
    return hmac.compare_digest(hashlib.sha256(body).hexdigest(), signed.body_digest)


def sign(
    secret: bytes,
    *,
    method: str,
    path_with_query: str,
    body_digest: str,
    request_id: str,
    time_ms: str,
    subject: str,
) -> str:
    """The signature header of the contract for these facts."""
    facts = "\n".join([method, path_with_query, body_digest, request_id, time_ms, subject])
    raw = facts.encode("utf-8", "surrogateescape")
    return VERSION + hmac.new(secret, raw, hashlib.sha256).hexdigest()


_REQUIRED: Final = (SIGNATURE, SIGNED_TIME, SUBJECT, REQUEST_ID, BODY_DIGEST)


def _is_fresh(text: str, now_ms: int) -> bool:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        return False
    return abs(now_ms - int(text)) <= TOLERANCE_MS


def _is_digest(text: str) -> bool:
    return len(text) == DIGEST_CHARACTERS and set(text) <= HEX_DIGITS
