"""Refusals of who asks: keys that are missing, wrong, dead, or without balance."""

from typing import Final

from gateway.errors import Problem

BALANCE_ENDED: Final = "BALANCE_ENDED"


def missing_key() -> Problem:
    """The product needs a key and none was sent."""
    return Problem(
        "AUTH_MISSING_API_KEY",
        401,
        "Authentication required: send the header 'Authorization: Bearer <key>'; "
        "POST /v1/keys gives a free trial key",
    )


def authorization_format() -> Problem:
    """An Authorization header that is not `Bearer <key>`."""
    return Problem(
        "AUTH_INVALID_FORMAT",
        401,
        "Invalid authorization format: the header must be 'Authorization: Bearer <key>'",
    )


def token_in_body() -> Problem:
    """A key in a body, which goes to the service as it came."""
    return Problem(
        "AUTH_INVALID_FORMAT",
        401,
        "Invalid authorization format: a key is not taken from the body; send the header "
        "'Authorization: Bearer <key>', or the key as _token in the query",
    )


def invalid_key() -> Problem:
    """A key with a typo, or one that does not exist; which of both is not told."""
    detail = "Invalid API key, please get a new one with POST /v1/keys"
    return Problem("AUTH_INVALID_API_KEY", 401, detail)


def revoked() -> Problem:
    """A key that was destroyed."""
    return Problem(
        "AUTH_API_KEY_REVOKED",
        401,
        "Invalid API key: it was revoked, which cannot be undone; "
        "please get a new one with POST /v1/keys",
    )


def suspended() -> Problem:
    """A key that its owner's budget, a payment dispute or the operator has put on hold."""
    detail = (
        "This API key is suspended: by its own monthly budget, by a payment dispute or by the "
        "operator; GET /v1/keys/me tells by which"
    )
    return Problem("AUTHZ_KEY_SUSPENDED", 402, detail)


def balance_too_low(balance_tokens: int, hold_tokens: int) -> Problem:
    """The balance does not cover what this request may cost."""
    return Problem(
        "AUTHZ_INSUFFICIENT_BALANCE",
        402,
        f"Insufficient account balance: {balance_tokens:,} tokens are free and this request may "
        f"need {hold_tokens:,}; please recharge",
        fields={"balance_tokens": balance_tokens, "hold_tokens": hold_tokens},
    )


def balance_ended(held_tokens: int) -> Problem:
    """A streamed answer has used what was set aside for it, and there is no more."""
    return Problem(
        "BALANCE_ENDED",
        402,
        f"The account balance is used up: the {held_tokens:,} tokens that could be set aside for "
        "this answer are spent, so it ends here; please recharge",
        fields={"held_tokens": held_tokens},
    )


def hold_used_up(held_tokens: int) -> Problem:
    """The same, where the balance could not be asked."""
    return Problem(
        "BALANCE_ENDED",
        402,
        f"The {held_tokens:,} tokens that were set aside for this answer are spent and no more "
        "could be set aside at the moment, so it ends here; please try again",
        fields={"held_tokens": held_tokens},
    )


def max_charge_used(max_charge: int) -> Problem:
    """An answer that has gone far beyond what its client would pay for."""
    return Problem(
        "BALANCE_ENDED",
        402,
        f"The {max_charge:,} tokens of X-Max-Charge are spent, so this answer ends here",
        fields={"max_charge": max_charge},
    )


def body_beyond_balance(balance_tokens: int) -> Problem:
    """A body of unknown length has turned out longer than the balance could pay for."""
    return Problem(
        "AUTHZ_INSUFFICIENT_BALANCE",
        402,
        f"Insufficient account balance: the body is longer than the {balance_tokens:,} tokens that "
        "are free; please recharge, or send less at once",
        fields={"balance_tokens": balance_tokens},
    )
