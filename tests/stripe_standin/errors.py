"""What a request of the API can be refused with, in the shape that the `stripe` library parses."""

from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]


class ApiError(Exception):
    """A refusal. `executed`: the work began, so an idempotency key keeps this answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
        **more: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        told: Obj = {"type": kind, "message": message, "code": code, "param": param, **more}
        self.error: Obj = {name: value for name, value in told.items() if value is not None}
        if code is not None:
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"


def missing(kind: str, name: str, *, param: str = "id", status: int = 404) -> ApiError:
    """Nothing has this id: 404 when the address names it, 400 when a parameter does."""
    told = f"No such {kind}: '{name}'"
    return ApiError(status, told, code="resource_missing", param=param)


def invalid(message: str, param: str, code: str | None = None) -> ApiError:
    """A parameter that cannot be taken."""
    return ApiError(400, message, code=code, param=param)
