"""Refusals of the web side, beside those that every caller can meet."""

from gateway.errors import Problem
from gateway.units import MS_PER_S


def session_needed() -> Problem:
    """Nobody is signed in, or the session is over."""
    return Problem("SESSION_NEEDED", 401, "Please sign in, or enter a key: this needs a session")


def key_needed() -> Problem:
    """An account is signed in and has chosen no key."""
    return Problem("SESSION_KEY_NEEDED", 409, "Please choose a key of your account first")


def account_needed() -> Problem:
    """A key alone has no account."""
    return Problem("ACCOUNT_NEEDED", 403, "Please sign in to your account: a key alone has none")


def foreign_origin() -> Problem:
    """The call does not come from a page of ours, or without its token."""
    return Problem(
        "SESSION_ORIGIN_REFUSED",
        403,
        "This call must come from a page of this site: header Origin as the Host, "
        "and with a session its x-csrf-token",
    )


def too_often(wait_s: int) -> Problem:
    """So many attempts to sign in are not a person's."""
    text = "Too many attempts to sign in from here; please wait"
    return Problem("SIGN_IN_TOO_OFTEN", 429, text, wait_s * MS_PER_S)


def not_configured() -> Problem:
    """There is no way to prove who somebody is."""
    return Problem(
        "SIGN_IN_NOT_CONFIGURED",
        503,
        "Accounts are not configured on this deployment: set SLUICE_SMTP_URL or SLUICE_OIDC_ISSUER",
    )


def link_over() -> Problem:
    """The link was used, is too old, or never was."""
    return Problem(
        "SIGN_IN_LINK_OVER", 410, "This link was used already or is too old; please ask for another"
    )


def provider_refused(why: str) -> Problem:
    """The identity provider did not say who it is."""
    return Problem("SIGN_IN_PROVIDER_FAILED", 502, f"The identity provider did not help: {why}")


def mail_unavailable() -> Problem:
    """The letter could not be handed over."""
    return Problem(
        "MAIL_UNAVAILABLE",
        503,
        "The letter could not be sent at the moment; please try again",
        5_000,
    )


def confirmation_wrong() -> Problem:
    """What was typed is not what the key ends with."""
    return Problem(
        "CONFIRMATION_WRONG",
        422,
        "Please type what is asked for exactly; nothing was done",
        fields={"field": "confirm"},
    )


def too_many_keys(most: int) -> Problem:
    """An account has a bound."""
    return Problem("ACCOUNT_KEYS_TOO_MANY", 409, f"An account holds at most {most} keys")


def not_acceptable(what: str) -> Problem:
    """The provider's answer or a page that is not there."""
    return Problem("RESOURCE_NOT_FOUND", 404, f"There is no {what} here")
