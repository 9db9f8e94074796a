"""The header lines that tell a metered reply's limits, as bytes ready to be written.

Refuses to know Redis or clocks: it gets a decision and words it in three dialects: RateLimit-Policy
and RateLimit (draft-ietf-httpapi-ratelimit-headers, since -08 lists of quoted policy names with the
parameters q, w, r, t), x-ratelimit-*-requests/-tokens, and on r. and s. the older draft-03 form.
"""

from functools import lru_cache
from typing import Final

from gateway.admission.ask import Code, Decision
from gateway.products.product import Family
from gateway.units import MS_PER_S, WINDOW_S

# The numbers beside it are those of one process, which lets through its part alone.
_LOCAL: Final = b"x-ratelimit-scope: local\r\n"


def lines_of(family: Family, decision: Decision) -> bytes:
    """Lines with CRLF at the end of each; `t` and reset are in seconds, rounded up.

    They tell when the oldest use leaves the window and something comes back, 0 when nothing is
    used; where a window refused, the moment of Retry-After. A product without a token limit says
    nothing of tokens. Decided without Redis, they tell the part that this process gives out alone,
    and say so.
    """
    refused, wait_ms = decision.code, decision.retry_after_ms
    reset_ms = wait_ms if refused is Code.RPM else decision.oldest_expiry_ms
    # An override may leave a key with more used than it may: less than nothing remains.
    left = decision.remaining_requests
    values = {b"r": left if left > 0 else 0, b"t": -(-reset_ms // MS_PER_S)}
    limit_tokens = decision.limit_tokens
    if limit_tokens is not None:
        left = decision.remaining_tokens
        reset_ms = wait_ms if refused is Code.TPM else decision.oldest_tokens_expiry_ms
        values[b"k"] = left if left > 0 else 0
        values[b"u"] = -(-reset_ms // MS_PER_S)
    lines = _template(decision.limit_requests, limit_tokens, family is Family.READER) % values
    return lines + _LOCAL if decision.degraded else lines


# Limits come from the catalogue and from overrides of single keys, of which there may be many.
@lru_cache(maxsize=4_096)
def _template(limit_requests: int, limit_tokens: int | None, is_reader: bool) -> bytes:
    policy = f'"rpm";q={limit_requests};w={WINDOW_S}'
    state = '"rpm";r=%(r)d;t=%(t)d'
    if limit_tokens is not None:
        # "tokens" is no registered quota unit, so the name of the policy has to tell it.
        policy += f', "tpm";q={limit_tokens};w={WINDOW_S}'
        state += ', "tpm";r=%(k)d;t=%(u)d'
    lines = [
        f"RateLimit-Policy: {policy}",
        f"RateLimit: {state}",
        f"x-ratelimit-limit-requests: {limit_requests}",
        "x-ratelimit-remaining-requests: %(r)d",
        "x-ratelimit-reset-requests: %(t)d",
    ]
    if limit_tokens is not None:
        lines += [
            f"x-ratelimit-limit-tokens: {limit_tokens}",
            "x-ratelimit-remaining-tokens: %(k)d",
            "x-ratelimit-reset-tokens: %(u)d",
        ]
    if is_reader:
        lines.append(f"x-ratelimit-limit: {limit_requests}, {limit_requests};w={WINDOW_S}")
        lines.append("x-ratelimit-remaining: %(r)d")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
