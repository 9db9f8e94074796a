"""What the reader refuses, in the error envelope that clients of r. and s. parse.

Every refusal is JSON, whatever the client accepts, names itself in `name` and `status`, and is
never charged.
"""

from dataclasses import dataclass
from typing import Final

# Fields of the envelope by HTTP status, for what no reader code named more precisely.
GENERIC: Final = {
    400: (40001, "ParamValidationError"),
    401: (40102, "AuthenticationFailedError"),
    404: (40402, "RPCMethodNotFoundError"),
    405: (40501, "RPCMethodNotAllowedError"),
    413: (41301, "RequestPayloadTooLargeError"),
    500: (50000, "InternalServerError"),
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. `number` is five digits, the first three the HTTP status; `path` the option."""

    number: int
    name: str
    message: str
    path: str | None = None

    @property
    def status(self) -> int:
        return self.number // 100


def bad_option(path: str, message: str) -> Refusal:
    """400: an option or the target itself is wrong; `path` names it."""
    return Refusal(40001, "ParamValidationError", message, path)


def not_available(path: str, what: str) -> Refusal:
    """For an option of the contract that this deployment cannot honour: said, never ignored."""
    return bad_option(path, f"{what} is not available on this deployment")


def security_compromise(message: str) -> Refusal:
    """451: the target is private, internal, or ourselves."""
    return Refusal(45102, "SecurityCompromiseError", message)


def no_content(message: str) -> Refusal:
    """422: the page was read and has nothing to give."""
    return Refusal(42206, "AssertionFailureError", message)


def unreachable(message: str) -> Refusal:
    """422: the target failed."""
    return Refusal(42205, "DownstreamServiceFailureError", message)


def too_large(message: str) -> Refusal:
    """413: the target is larger than the cap."""
    return Refusal(41302, "TargetFileTooLargeError", message)


def over_budget(budget_tokens: int, charge_tokens: int) -> Refusal:
    """409: the page costs more than the client allowed; nothing is charged."""
    message = f"Token budget ({budget_tokens}) exceeded, intended charge amount {charge_tokens}"
    return Refusal(40904, "BudgetExceededError", message, "tokenBudget")


def denied(message: str) -> Refusal:
    """409: the target's own rules do not let this robot in."""
    return Refusal(40902, "ResourcePolicyDenyError", message)


def by_status(status: int, message: str) -> Refusal:
    """A refusal of which only the HTTP status is known."""
    number, name = GENERIC.get(status, (status * 100, "RequestError"))
    return Refusal(number, name, message)


def body(refusal: Refusal) -> dict[str, str | int | None]:
    """The fields of the envelope, in the order in which the reader is known to send them."""
    path = {} if refusal.path is None else {"path": refusal.path}
    return {
        "data": None,
        **path,
        "code": refusal.status,
        "name": refusal.name,
        "status": refusal.number,
        "message": refusal.message,
        "readableMessage": f"{refusal.name}: {refusal.message}",
    }
