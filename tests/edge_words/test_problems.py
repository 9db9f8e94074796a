"""Each refusal is JSON in the envelope of its host, with all that clients of that host read."""

import inspect
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge import refusals
from gateway.edge.problems import render, retry_after_s
from gateway.errors import Problem
from gateway.ledger.rows import DeedRefusal
from gateway.products.product import Family

NOW_MS = 1_700_000_000_000
SAMPLES: dict[str, Any] = {
    "allow": "POST, OPTIONS",
    "balance_tokens": 5,
    "current": 20,
    "deadline_ms": 30_000,
    "end": "nothing was moved",
    "field": "labels",
    "held_tokens": 10_000,
    "hold_tokens": 10_000,
    "keyed": True,
    "kind": "Classifier",
    "limit": 20,
    "limit_bytes": 1_000_000,
    "max_charge": 1_000,
    "method": "GET",
    "most": 1_000_000,
    "movable_tokens": 7,
    "name": "abc",
    "needed": 5_000_000,
    "needed_tokens": 2_000,
    "offered": ("POST /v1/embeddings",),
    "path": "/v1/x",
    "product": "reader",
    "request_id": "rid-0",
    "retry_after_ms": 1_234,
    "said": "",
    "seconds": 30,
    "status": 500,
    "wait_ms": 1_234,
    "what": "requests per minute",
    "why": "it is broken",
}
SAMPLES_OF: dict[str, dict[str, Any]] = {"deed_refused": {"why": DeedRefusal.NOT_ENOUGH}}
CONSTRUCTORS = {
    name: function
    for name, function in inspect.getmembers(refusals, inspect.isfunction)
    if name in refusals.__all__
}


def example(name: str) -> Problem:
    function = CONSTRUCTORS[name]
    samples = {**SAMPLES, **SAMPLES_OF.get(name, {})}
    arguments = {each: samples[each] for each in inspect.signature(function).parameters}
    problem = function(**arguments)
    assert isinstance(problem, Problem)
    return problem


def rendered(problem: Problem, family: Family) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers, body = render(problem, family, "rid-1", NOW_MS)
    document = orjson.loads(body)
    assert isinstance(document, dict)
    assert len({name for name, _ in headers}) == len(headers), "no header twice"
    return status, dict(headers), document


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_every_refusal_is_json_with_a_request_id_in_every_envelope(
    name: str, family: Family
) -> None:
    problem = example(name)
    status, headers, body = rendered(problem, family)
    assert status == problem.status
    assert 400 <= status <= 599
    assert headers["content-type"].startswith("application/json")
    assert headers["x-request-id"] == body["request_id"] == "rid-1"
    assert ("www-authenticate" in headers) == (status == 401)
    assert ("allow" in headers) == (status == 405)
    assert ("retry-after" in headers) == (problem.retry_after_ms is not None)
    assert status != 429 or headers["retry-after"].isdigit()
    if problem.retry_after_ms is not None:
        assert body["retry_after_ms"] == problem.retry_after_ms
        assert int(headers["retry-after"]) * 1000 >= problem.retry_after_ms


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_reader_envelope_has_its_seven_fields(name: str) -> None:
    problem = example(name)
    status, _, body = rendered(problem, Family.READER)
    assert body["data"] is None
    assert body["code"] == status
    assert str(body["status"]).startswith(str(status))
    assert len(str(body["status"])) == 5
    assert body["readableMessage"] == f"{body['name']}: {body['message']}"
    assert body["name"].endswith("Error")
    assert body["reason"] == problem.code


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_api_envelope_serves_python_and_openai_clients(name: str) -> None:
    problem = example(name)
    status, _, body = rendered(problem, Family.API)
    assert body["code"] == body["error"]["code"] == problem.code
    assert body["error"]["message"] == body["message"]
    assert body["message"].endswith(problem.detail)
    assert set(body["error"]) == {"message", "type", "code", "param"}
    if status == 422:
        assert [set(each) for each in body["detail"]] == [{"loc", "msg", "type"}]
        assert str(body["error"]["param"]) in body["message"]
    else:
        assert body["detail"] == body["message"] == problem.detail


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_deepsearch_envelope_has_a_text_as_error(name: str) -> None:
    problem = example(name)
    body = rendered(problem, Family.DEEPSEARCH)[2]
    assert isinstance(body["error"], str)
    assert body["code"] == problem.code


def test_codes_are_stable_words_and_unique_to_their_status() -> None:
    by_code: dict[str, int] = {}
    for name in CONSTRUCTORS:
        problem = example(name)
        assert problem.code.replace("_", "").isupper()
        assert by_code.setdefault(problem.code, problem.status) == problem.status
        assert not problem.detail.endswith(".")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("missing_key", 401, "AUTH_MISSING_API_KEY"),
        ("invalid_key", 401, "AUTH_INVALID_API_KEY"),
        ("authorization_format", 401, "AUTH_INVALID_FORMAT"),
        ("balance_too_low", 402, "AUTHZ_INSUFFICIENT_BALANCE"),
        ("not_found", 404, "RESOURCE_NOT_FOUND"),
        ("rate_requests", 429, "RATE_REQUEST_LIMIT_EXCEEDED"),
        ("rate_tokens", 429, "RATE_TOKEN_LIMIT_EXCEEDED"),
        ("rate_ip", 429, "RATE_IP_LIMIT_EXCEEDED"),
        ("concurrency", 429, "RATE_CONCURRENCY_LIMIT_EXCEEDED"),
        ("internal_error", 500, "INTERNAL_ERROR"),
        ("service_unreachable", 503, "SERVICE_UNAVAILABLE"),
        ("service_timeout", 504, "SERVICE_TIMEOUT"),
    ],
)
def test_codes_of_the_wire_contract_are_kept(name: str, status: int, code: str) -> None:
    problem = example(name)
    assert (problem.status, problem.code) == (status, code)


@pytest.mark.parametrize(
    ("name", "error_name", "status"),
    [
        ("missing_key", "AuthenticationRequiredError", 40103),
        ("invalid_key", "AuthenticationFailedError", 40102),
        ("balance_too_low", "InsufficientBalanceError", 40203),
        ("unknown_path", "RPCMethodNotFoundError", 40402),
        ("method_not_allowed", "RPCMethodNotAllowedError", 40501),
        ("body_too_large", "RequestPayloadTooLargeError", 41301),
        ("rate_requests", "RateLimitTriggeredError", 42903),
    ],
)
def test_reader_names_and_numbers_are_those_of_the_contract(
    name: str, error_name: str, status: int
) -> None:
    body = rendered(example(name), Family.READER)[2]
    assert (body["name"], body["status"]) == (error_name, status)


def test_reader_429_says_when_to_come_back_in_three_ways() -> None:
    _, headers, body = rendered(example("rate_requests"), Family.READER)
    assert headers["retry-after"] == "2"
    assert body["retryAfter"] == 2
    assert body["retryAfterDate"] == "2023-11-14T22:13:22.000Z"
    assert body["message"] == (
        "Per UID rate limit exceeded (CRAWL 20 times since Tue, 14 Nov 2023 22:12:20 GMT)"
    )


def test_reader_429_without_a_key_is_per_ip() -> None:
    body = rendered(example("rate_ip"), Family.READER)[2]
    assert body["message"].startswith("Per IP rate limit exceeded (CRAWL 20 times since ")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing_key", "Unauthorized: API key required"),
        ("authorization_format", "Unauthorized: API key required"),
        ("balance_too_low", "Account balance not enough to run this query, please recharge."),
    ],
)
def test_deepsearch_sentences_are_those_of_the_contract(name: str, sentence: str) -> None:
    assert rendered(example(name), Family.DEEPSEARCH)[2]["error"] == sentence


def test_deepsearch_invalid_key_begins_as_clients_expect() -> None:
    error = rendered(refusals.invalid_key(), Family.DEEPSEARCH)[2]["error"]
    assert error.startswith("Invalid API key, please get a new one ")


def test_deepsearch_unknown_model_is_an_object() -> None:
    problem = Problem("INPUT_MODEL_NOT_FOUND", 404, "Model 'x' not found")
    assert rendered(problem, Family.DEEPSEARCH)[2]["error"] == {
        "message": "Model 'x' not found",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


def test_422_names_the_field_as_validators_do() -> None:
    body = rendered(refusals.invalid_field("input", "field required"), Family.API)[2]
    assert body["detail"] == [
        {"loc": ["body", "input"], "msg": "field required", "type": "value_error"}
    ]
    assert body["error"]["param"] == "input"


@pytest.mark.parametrize(
    ("wait_ms", "seconds"), [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)]
)
def test_retry_after_is_rounded_up_and_at_least_one(wait_ms: int, seconds: int) -> None:
    assert retry_after_s(wait_ms) == seconds


@pytest.mark.parametrize("family", Family)
@given(
    code=st.text(max_size=20),
    detail=st.text(st.characters(exclude_categories=[]), max_size=50),
    status=st.integers(400, 599),
    wait_ms=st.none() | st.integers(0, 10**9),
    fields=st.dictionaries(
        st.text(max_size=8),
        st.integers() | st.text(st.characters(exclude_categories=[])),
        max_size=3,
    ),
    allow=st.none() | st.text(max_size=20),
)
def test_anything_can_be_told(
    family: Family,
    code: str,
    detail: str,
    status: int,
    wait_ms: int | None,
    fields: dict[str, int | str],
    allow: str | None,
) -> None:
    problem = Problem(code, status, detail, wait_ms, fields, allow)
    _, headers, body = render(problem, family, "rid", NOW_MS)
    assert isinstance(orjson.loads(body), dict)
    for _, value in headers:
        assert "\r" not in value
        assert "\n" not in value


def test_path_with_bytes_that_are_no_text_is_told_anyway() -> None:
    problem = refusals.unknown_path("GET", "/\udcff\udcfe", ())
    assert rendered(problem, Family.API)[2]["detail"] == "Nothing is at GET /??"


def test_long_path_is_not_echoed_whole() -> None:
    assert len(refusals.unknown_path("M" * 10_000, "/" + "x" * 10_000, ()).detail) < 300
    assert len(refusals.method_not_allowed("M" * 10_000, "/" + "x" * 10_000, "GET").detail) < 400


def test_clock_is_asked_where_no_time_is_given() -> None:
    body = orjson.loads(render(example("rate_requests"), Family.READER, "rid")[2])
    assert body["retryAfterDate"] > "2024"
