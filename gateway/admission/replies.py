"""What the scripts answer, as words of admission. Refuses to guess: a foreign shape is a fault."""

from collections.abc import Sequence
from typing import Final

from gateway.admission.ask import (
    Code,
    Decision,
    Extension,
    Grant,
    Hold,
    Remaining,
    Standing,
)
from gateway.redis_link import Reply

_CODES: Final = tuple(Code)
_TIERS: Final = ("key", "premium")
_NOT_SEEN: Final = frozenset({Code.BALANCE_NOT_LOADED, Code.REVOKED, Code.SUSPENDED})
_DECISION_WORDS: Final = 11
_PEEK_HEAD: Final = 7
_PEEK_STEP: Final = 7


def decision(reply: Reply) -> Decision:
    """The answer of admit.lua, and of judge.lua."""
    if not isinstance(reply, list):
        raise TypeError(f"admit answered {reply!r}")
    # Only what a shadow has looked at is told of it.
    shadow = reply.pop() if len(reply) > _DECISION_WORDS else 0
    code, retry, rpm, requests, tpm, tokens, balance, reset, tokens_reset, now, tier = reply
    known = _CODES[code]
    return Decision(
        known,
        retry,
        rpm,
        requests,
        None if tpm < 0 or known in _NOT_SEEN else tpm,
        tokens,
        balance,
        reset,
        tokens_reset,
        now,
        _TIERS[tier],
        shadow=shadow,
    )


def extension(reply: Reply) -> Extension:
    """The answer of extend.lua."""
    if not isinstance(reply, list):
        raise TypeError(f"extend answered {reply!r}")
    grant, hold, free = reply
    return Extension(Grant(grant), hold, free)


def standing(reply: Reply, products: Sequence[str]) -> Standing:
    """The answer of peek.lua for these products."""
    if not isinstance(reply, list) or len(reply) != _PEEK_HEAD + _PEEK_STEP * len(products):
        raise TypeError(f"peek answered {reply!r}")
    version, trial, paid, status, tier, held, running = reply[:_PEEK_HEAD]
    found = {}
    for place, name in enumerate(products):
        start = _PEEK_HEAD + _PEEK_STEP * place
        rpm, requests, reset, tpm, tokens, tokens_reset, open_now = reply[start : start + 7]
        limit_tokens = None if tpm < 0 else tpm
        found[name] = Remaining(
            name, rpm, requests, reset, limit_tokens, tokens, tokens_reset, open_now
        )
    return Standing(
        None if version < 0 else version,
        trial,
        paid,
        status.decode(),
        tier.decode(),
        held,
        running,
        found,
    )


def hold_of(member: str, packed: bytes) -> Hold:
    """A hold from its member in the tag's deadlines and its record; ValueError when foreign."""
    _, subject, request_id = member.split(" ")
    hold, _, _, deadline_ms, number, product, instance, *_ = packed.decode().split(" ")
    return Hold(request_id, subject, product, int(hold), instance, int(number), int(deadline_ms))
