"""Puts a Problem into the envelope of the host that was asked: status, headers, JSON body.

Refuses other forms than JSON: every client of the wire contract can read it, and none is surprised.
The three envelopes are of section 0.4: (a) r. and s., (b) api., (c) deepsearch.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final

import orjson

from gateway.errors import Problem
from gateway.products.product import Family
from gateway.units import MS_PER_S, WINDOW_S

Headers = list[tuple[str, str]]
Rendered = tuple[int, Headers, bytes]

# (a): the name and the five-digit status of each code, else of each HTTP status.
_READER_BY_CODE: Final[Mapping[str, tuple[str, int]]] = {
    "AUTH_MISSING_API_KEY": ("AuthenticationRequiredError", 40103),
    "AUTHZ_INSUFFICIENT_BALANCE": ("InsufficientBalanceError", 40203),
    "AUTHZ_KEY_SUSPENDED": ("InsufficientBalanceError", 40203),
    "SERVICE_NOT_DEPLOYED": ("ServiceDisabledError", 50301),
    "SERVICE_UNAVAILABLE": ("ServiceCrashedError", 50302),
    "SERVICE_BROKE_OFF": ("DataStreamBrokenError", 50200),
}
_READER_BY_STATUS: Final[Mapping[int, tuple[str, int]]] = {
    400: ("ParamValidationError", 40001),
    401: ("AuthenticationFailedError", 40102),
    402: ("InsufficientBalanceError", 40203),
    403: ("OperationNotAllowedError", 40301),
    404: ("RPCMethodNotFoundError", 40402),
    405: ("RPCMethodNotAllowedError", 40501),
    408: ("RequestTimeoutError", 40800),
    409: ("ResourcePolicyDenyError", 40902),
    413: ("RequestPayloadTooLargeError", 41301),
    415: ("ParamValidationError", 41500),
    422: ("ParamValidationError", 42200),
    429: ("RateLimitTriggeredError", 42903),
    431: ("ParamValidationError", 43100),
    500: ("InternalServerError", 50000),
    502: ("BadGatewayError", 50200),
    503: ("ServiceNodeResourceDrainError", 50303),
    504: ("GatewayTimeoutError", 50400),
}
# Sentences that published clients of r., s. and deepsearch look for.
_BALANCE: Final = "Account balance not enough to run this query, please recharge."
_READER_SENTENCES: Final[Mapping[str, str]] = {
    "AUTH_MISSING_API_KEY": "Authentication is required to use this endpoint. "
    "Please provide a valid API key via Authorization header.",
    "AUTHZ_INSUFFICIENT_BALANCE": _BALANCE,
}
_DEEPSEARCH_SENTENCES: Final[Mapping[str, str]] = {
    "AUTH_MISSING_API_KEY": "Unauthorized: API key required",
    "AUTH_INVALID_FORMAT": "Unauthorized: API key required",
    "AUTHZ_INSUFFICIENT_BALANCE": _BALANCE,
    "INTERNAL_ERROR": "Internal",
}
_TAGS: Final[Mapping[str, str]] = {
    "reader": "CRAWL",
    "search": "SEARCH",
    "deepsearch": "DEEPRESEARCH",
}
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# What must not stand in a header value that a client's bytes may have reached.
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


def render(
    problem: Problem, family: Family, request_id: str, now_ms: int | None = None
) -> Rendered:
    """Status, headers and JSON body of a refusal; `now_ms` (unix) is the clock unless given.

    A problem with `retry_after_ms` gets Retry-After in whole seconds, rounded up and at least 1,
    and the exact number in the body. 401 has WWW-Authenticate, 405 has Allow.
    """
    if now_ms is None:
        now_ms = time.time_ns() // 1_000_000
    if family is Family.READER:
        body = _reader(problem, request_id, now_ms)
    elif family is Family.DEEPSEARCH:
        body = _deepsearch(problem, request_id, now_ms)
    else:
        body = _api(problem, request_id)
    return problem.status, _headers(problem, request_id), _dump(body)


def retry_after_s(retry_after_ms: int) -> int:
    """Whole seconds, rounded up, so that who waits that long has waited long enough."""
    return max(1, -(-retry_after_ms // MS_PER_S))


def _headers(problem: Problem, request_id: str) -> Headers:
    headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("x-request-id", request_id),
        ("cache-control", "no-store"),
    ]
    if problem.retry_after_ms is not None:
        headers.append(("retry-after", str(retry_after_s(problem.retry_after_ms))))
    if problem.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    if problem.allow is not None:
        headers.append(("allow", _UNPRINTABLE.sub("", problem.allow)))
    return headers


def _reader(problem: Problem, request_id: str, now_ms: int) -> dict[str, Any]:
    name, status = _READER_BY_CODE.get(problem.code) or _READER_BY_STATUS.get(
        problem.status, ("ApplicationError", problem.status * 100)
    )
    message = _since(problem, now_ms) or _READER_SENTENCES.get(problem.code, problem.detail)
    body: dict[str, Any] = {"data": None, **problem.fields}
    if problem.retry_after_ms is not None:
        wait_s = retry_after_s(problem.retry_after_ms)
        date = datetime.fromtimestamp(now_ms / MS_PER_S + wait_s, UTC)
        body["retryAfter"] = wait_s
        body["retryAfterDate"] = date.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body["retry_after_ms"] = problem.retry_after_ms
    # `code` is the HTTP status in this envelope; which refusal it was stands in `reason`.
    body |= {
        "code": problem.status,
        "name": name,
        "status": status,
        "message": message,
        "readableMessage": f"{name}: {message}",
        "reason": problem.code,
        "request_id": request_id,
    }
    return body


def _api(problem: Problem, request_id: str) -> dict[str, Any]:
    detail: Any = problem.detail
    param = problem.fields.get("field")
    if problem.status == 422:
        place = problem.fields.get("in", "body")
        where = [place] if param is None else [place, param]
        detail = [{"loc": where, "msg": problem.detail, "type": "value_error"}]
    message = _naming(problem)
    error_type = _TYPES.get(
        problem.status, "server_error" if problem.status >= 500 else "invalid_request_error"
    )
    return {
        "detail": detail,
        **_extra(problem),
        "code": problem.code,
        "request_id": request_id,
        "message": message,
        "error": {
            "message": message,
            "type": error_type,
            "code": problem.code,
            "param": param,
        },
    }


def _naming(problem: Problem) -> str:
    """The sentence, with the field that it is about for who reads nothing else."""
    param = problem.fields.get("field")
    if problem.status != 422 or param is None or str(param) in problem.detail:
        return problem.detail
    return f"{param}: {problem.detail}"


def _deepsearch(problem: Problem, request_id: str, now_ms: int) -> dict[str, Any]:
    error: Any = _since(problem, now_ms) or _DEEPSEARCH_SENTENCES.get(problem.code, problem.detail)
    if problem.code == "INPUT_MODEL_NOT_FOUND":
        error = {
            "message": problem.detail,
            "type": "invalid_request_error",
            "param": None,
            "code": "model_not_found",
        }
    return {
        "error": error,
        **_extra(problem),
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request_id,
    }


def _extra(problem: Problem) -> dict[str, Any]:
    if problem.retry_after_ms is None:
        return dict(problem.fields)
    return {**problem.fields, "retry_after_ms": problem.retry_after_ms}


def _since(problem: Problem, now_ms: int) -> str | None:
    """The older sentence of a request limit: how often since when, by key or by address."""
    limit, product = problem.fields.get("limit"), problem.fields.get("product")
    if problem.code == "RATE_REQUEST_LIMIT_EXCEEDED":
        who = "UID"
    elif problem.code == "RATE_IP_LIMIT_EXCEEDED":
        who = "IP"
    else:
        return None
    since = format_datetime(datetime.fromtimestamp(now_ms / MS_PER_S - WINDOW_S, UTC), usegmt=True)
    tag = _TAGS.get(str(product), str(product).upper())
    return f"Per {who} rate limit exceeded ({tag} {limit} times since {since})"


def _dump(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        # Bytes that are no UTF-8 came into a sentence as lone surrogates, or a number is absurd.
        return orjson.dumps(_clean(body))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int) and value.bit_length() > 63:
        return str(value)
    if isinstance(value, dict):
        return {key: _clean(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_clean(each) for each in value]
    return value
