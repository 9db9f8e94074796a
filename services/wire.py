"""The words of the wire between gateway and services: header names, and the answer that is JSON.

Refuses nothing; it only names. The gateway keeps its own copy: the two meet over HTTP, and a test
sets them against each other.
"""

from typing import Final

REQUEST_ID: Final = "x-request-id"
SIGNATURE: Final = "x-sluice-signature"
SIGNED_TIME: Final = "x-sluice-time"
SUBJECT: Final = "x-sluice-subject"
BODY_DIGEST: Final = "x-sluice-body"

# The word in place of a digest when the body was too large to be read before it was forwarded.
STREAMED: Final = "streamed"

# What this request may cost at most; the gateway makes it of the client's X-Max-Charge.
BUDGET: Final = "x-token-budget"
USAGE_TOKENS: Final = "x-usage-tokens"
CHARGE_RULE: Final = "x-charge-rule"
VOID: Final = "void"

JSON_TYPE: Final = "application/json"


def void_headers() -> dict[str, str]:
    """Headers of an answer for which nobody may be charged."""
    return {USAGE_TOKENS: "0", CHARGE_RULE: VOID}
