"""Refusals of what an owner wants done once: transfers, revocations, and repeated requests."""

from collections.abc import Mapping
from typing import Final

from gateway.edge.refusals.callers import revoked, suspended
from gateway.edge.refusals.requests import invalid_field
from gateway.errors import Problem
from gateway.ledger.rows import DeedRefusal

_FIELD_SENTENCES: Final[Mapping[DeedRefusal, str]] = {
    DeedRefusal.UNKNOWN_KEY: "there is no such key",
    DeedRefusal.SAME_KEY: "tokens cannot be moved from a key to itself",
}


def idempotency_key_unreadable() -> Problem:
    """An Idempotency-Key that cannot be kept, or two different ones."""
    return Problem(
        "IDEMPOTENCY_KEY_INVALID",
        400,
        "The header Idempotency-Key must be one text of 1 to 255 printable ASCII characters",
    )


def idempotency_key_reused() -> Problem:
    """The same name for something else than before."""
    return Problem(
        "IDEMPOTENCY_KEY_REUSED",
        422,
        "This Idempotency-Key was used for a different request; nothing was done. "
        "Repeat the first request exactly, or use a new Idempotency-Key",
        fields={"in": "header", "field": "Idempotency-Key"},
    )


def idempotent_body_too_large() -> Problem:
    """A body that is streamed through cannot be compared with an earlier one before it is used."""
    return Problem(
        "IDEMPOTENCY_BODY_TOO_LARGE",
        413,
        "With an Idempotency-Key the body must be so small that it is read whole first: "
        "1 MiB, for some products more; send less at once, or leave the header out",
    )


def idempotent_still_running(wait_ms: int) -> Problem:
    """The same request is being answered, or nobody knows yet how it ended."""
    return Problem(
        "IDEMPOTENCY_IN_PROGRESS",
        409,
        "The first request with this Idempotency-Key has not ended yet; "
        "ask again for its answer, which is charged once",
        wait_ms,
    )


def idempotent_answer_not_kept(request_id: str) -> Problem:
    """It was charged, and its answer was left in the middle or too large to be kept."""
    return Problem(
        "IDEMPOTENCY_ANSWER_NOT_KEPT",
        409,
        "The first request with this Idempotency-Key was answered and charged, but its answer was "
        "left in the middle or is too large to be told again; nothing is charged for asking. "
        "Use a new Idempotency-Key to have it done again",
        fields={"first_request_id": request_id},
    )


def deed_refused(
    why: DeedRefusal, field: str, end: str, movable_tokens: int, held_tokens: int
) -> Problem:
    """A transfer or revocation that was not made; `end` tells what therefore did not happen."""
    if why in _FIELD_SENTENCES:
        return invalid_field(field, f"{_FIELD_SENTENCES[why]}; {end}")
    if why is DeedRefusal.REF_USED_OTHERWISE:
        return idempotency_key_reused()
    if why is DeedRefusal.REVOKED:
        return revoked()
    if why is DeedRefusal.SUSPENDED:
        return suspended()
    if why is DeedRefusal.NOT_ENOUGH:
        return Problem(
            "AUTHZ_INSUFFICIENT_BALANCE",
            402,
            f"Insufficient account balance: {movable_tokens:,} paid tokens may be moved now, "
            f"and {held_tokens:,} tokens are held for requests that run; {end}",
            fields={"movable_tokens": movable_tokens, "held_tokens": held_tokens},
        )
    return _not_movable(why, end, held_tokens)


def _not_movable(why: DeedRefusal, end: str, held_tokens: int) -> Problem:
    if why is DeedRefusal.RECEIVER_NOT_ACTIVE:
        text = f"The receiving key is revoked or suspended; {end}"
        return Problem("TRANSFER_RECEIVER_NOT_ACTIVE", 409, text)
    if why is DeedRefusal.TOO_MUCH:
        text = f"The receiving key cannot hold that many tokens; {end}"
        return Problem("TRANSFER_TOO_MUCH", 409, text)
    if why is DeedRefusal.NOTHING_TO_MOVE:
        return Problem(
            "TRANSFER_NOTHING_TO_MOVE",
            409,
            f"There is no paid token that may be moved; {held_tokens:,} tokens are held for "
            f"requests that run; {end}",
            fields={"held_tokens": held_tokens},
        )
    whose = "This" if why is DeedRefusal.NOT_PREMIUM else "The receiving"
    return Problem(
        "TRANSFER_NEEDS_PREMIUM",
        403,
        f"{whose} key is not premium: tokens are moved between keys that both have had a top-up; "
        f"{end}",
    )
