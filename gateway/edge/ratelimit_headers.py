"""The header lines that tell a metered reply's limits, as bytes ready to be written.

Refuses to know Redis or clocks: it gets numbers and words them in three dialects: RateLimit-Policy
and RateLimit (draft-ietf-httpapi-ratelimit-headers, since -08 lists of quoted policy names with the
parameters q, w, r, t), x-ratelimit-*-requests/-tokens, and on r. and s. the older draft-03 form.
"""

from typing import Final

from gateway.products.product import Family
from gateway.units import MS_PER_S, WINDOW_S

# Limits come from the catalogue and from overrides of single keys, which an operator may vary at
# will; beyond this many pairs the templates are built anew.
_MAX_TEMPLATES: Final = 4_096


class RateLimitHeaders:
    """Builds the lines from templates, one for each set of limits seen."""

    def __init__(self) -> None:
        self._templates: dict[tuple[int, int | None, bool], bytes] = {}

    def lines(
        self,
        family: Family,
        limit_requests: int,
        remaining_requests: int,
        reset_ms: int,
        limit_tokens: int | None = None,
        remaining_tokens: int = 0,
    ) -> bytes:
        """Lines with CRLF at the end of each.

        `reset_ms` is how long until the oldest use leaves the window and something comes back (on
        a 429 the exact wait); 0 when nothing is used. It is told in seconds, rounded up.
        `limit_tokens` None: tokens are not limited and nothing is said of them.
        """
        key = (limit_requests, limit_tokens, family is Family.READER)
        template = self._templates.get(key)
        if template is None:
            template = self._remember(key)
        reset_s = -(-reset_ms // MS_PER_S)
        # A limit lowered for one key may leave it with more used than it may.
        if remaining_requests < 0:
            remaining_requests = 0
        values = {b"r": remaining_requests, b"t": reset_s}
        if limit_tokens is not None:
            values[b"k"] = remaining_tokens if remaining_tokens > 0 else 0
        return template % values

    def _remember(self, key: tuple[int, int | None, bool]) -> bytes:
        if len(self._templates) >= _MAX_TEMPLATES:
            self._templates.clear()
        template = _template(*key)
        self._templates[key] = template
        return template


def _template(limit_requests: int, limit_tokens: int | None, is_reader: bool) -> bytes:
    policy = f'"rpm";q={limit_requests};w={WINDOW_S}'
    state = '"rpm";r=%(r)d;t=%(t)d'
    if limit_tokens is not None:
        # "tokens" is no registered quota unit, so the name of the policy has to tell it.
        policy += f', "tpm";q={limit_tokens};w={WINDOW_S}'
        state += ', "tpm";r=%(k)d;t=%(t)d'
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
            "x-ratelimit-reset-tokens: %(t)d",
        ]
    if is_reader:
        lines.append(f"x-ratelimit-limit: {limit_requests}, {limit_requests};w={WINDOW_S}")
        lines.append("x-ratelimit-remaining: %(r)d")
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")
