"""The signature that a webhook carries: over its time and its raw body, once per secret."""

import hashlib
import hmac
from collections.abc import Iterable


def signature(body: bytes, secrets: Iterable[str], at: int) -> str:
    """The value of the header `Stripe-Signature`."""
    signed = str(at).encode() + b"." + body
    told = [f"t={at}"]
    for secret in secrets:
        told.append("v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest())
    return ",".join(told)
