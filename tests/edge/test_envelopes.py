"""Refusals in the envelope that clients of each host read, by host and by path; always JSON."""

import orjson
import pytest

from tests.edge.client import Lines, Reply
from tests.edge.conftest import Places
from tests.edge.door import Door, Key
from tests.edge.scripts import answering
from tests.edge.stub import Stub, listening

READER, API, DEEPSEARCH = "reader", "api", "deepsearch"
# Where a request may be sent to, by host and on a bare one, and whose envelope it gets.
PLACES = [
    ("r.localhost", "/https://a.example/", READER),
    ("127.0.0.1:8080", "/r/https://a.example/", READER),
    ("eu.r.localhost", "/r/https://a.example/", READER),
    ("s.localhost", "/query", READER),
    ("localhost", "/s/query", READER),
    ("api.localhost", "/v1/embeddings", API),
    ("api.localhost:8080", "/v1/rerank", API),
    ("API.LOCALHOST", "/v1/segment", API),
    ("127.0.0.1", "/v1/embeddings", API),
    ("segment.localhost", "/", API),
    ("dash.localhost", "/api/v1/authorization", API),
    ("deepsearch.localhost", "/v1/chat/completions", DEEPSEARCH),
    ("127.0.0.1", "/v1/chat/completions", DEEPSEARCH),
]


def is_enveloped(reply: Reply, family: str, code: str | None = None) -> None:
    """JSON that every client of the host can read, with the id of the request."""
    assert reply["content-type"] == "application/json; charset=utf-8"
    found = reply.json()
    assert found["request_id"] == reply.request_id
    if family == READER:
        assert found["data"] is None
        assert found["code"] == reply.status == found["status"] // 100
        assert found["readableMessage"] == f"{found['name']}: {found['message']}"
        said = found["reason"]
    elif family == DEEPSEARCH:
        assert isinstance(found["error"], str)
        said = found["code"]
    else:
        assert found["detail"]
        assert found["message"] == found["error"]["message"]
        assert found["error"]["code"] == found["code"]
        said = found["code"]
    assert code is None or said == code


@pytest.mark.parametrize(("host", "target", "family"), PLACES)
async def test_refusals_before_admission_are_in_the_envelope_of_the_host(
    door: Door, host: str, target: str, family: str
) -> None:
    method = "GET" if family == READER or "dash" in host else "POST"
    wrong_key = [("authorization", "Bearer sluice_" + "x" * 60)]
    attempts: list[tuple[str, Lines, int, str]] = [
        ("PATCH", [], 405, "METHOD_NOT_ALLOWED"),
        (method, wrong_key, 401, "AUTH_INVALID_API_KEY"),
    ]
    if family != READER:
        attempts.append((method, [("authorization", "Basic x")], 401, "AUTH_INVALID_FORMAT"))
    for verb, lines, status, code in attempts:
        reply = await door.ask(verb, target, host=host, headers=lines)
        assert reply.status == status, (verb, reply)
        is_enveloped(reply, family, code)
    assert reply["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("host", "target", "method", "family"),
    [
        ("s.localhost", "/query", "GET", READER),
        ("127.0.0.1", "/s/query", "GET", READER),
        ("api.localhost", "/v1/embeddings", "POST", API),
        ("127.0.0.1", "/v1/classify", "POST", API),
        ("deepsearch.localhost", "/v1/chat/completions", "POST", DEEPSEARCH),
        ("127.0.0.1", "/v1/chat/completions", "POST", DEEPSEARCH),
    ],
)
async def test_products_that_need_a_key_say_so(
    door: Door, host: str, target: str, method: str, family: str
) -> None:
    reply = await door.ask(method, target, host=host)
    assert reply.status == 401
    is_enveloped(reply, family, "AUTH_MISSING_API_KEY")


@pytest.mark.parametrize(
    ("host", "family"),
    [("api.localhost", API), ("deepsearch.localhost", DEEPSEARCH), ("x.example", API)],
)
async def test_unknown_paths_are_404_in_json(door: Door, host: str, family: str) -> None:
    for target in ("/v1/nothing", "/nothing?x=y", "/v1/requests/", "/%00", "/../etc"):
        reply = await door.ask("GET", target, host=host)
        assert reply.status == 404
        is_enveloped(reply, family, "PATH_NOT_FOUND")


SERVICES = [
    ("reader", "r.localhost", "/https://a.example/", "GET", READER),
    ("reader", "127.0.0.1", "/r/https://a.example/", "GET", READER),
    ("embeddings", "api.localhost", "/v1/embeddings", "POST", API),
    ("deepsearch", "deepsearch.localhost", "/v1/chat/completions", "POST", DEEPSEARCH),
    ("deepsearch", "127.0.0.1", "/v1/chat/completions", "POST", DEEPSEARCH),
]


@pytest.mark.parametrize(("name", "host", "target", "method", "family"), SERVICES)
async def test_failures_of_services_are_in_the_envelope_of_the_host(
    door: Door,
    key: Key,
    name: str,
    host: str,
    target: str,
    method: str,
    family: str,
    places: Places,
) -> None:
    body = b"{}" if method == "POST" else None

    async def ask() -> Reply:
        return await door.ask(method, target, host=host, key=key, body=body)

    is_enveloped(await ask(), family, "SERVICE_UNAVAILABLE")
    stub = Stub()
    async with listening(stub, places[name]):
        for status, text, code in (
            (500, b"<html>", "SERVICE_FAILED"),
            (200, b"{", "SERVICE_BROKE_OFF"),
            (404, b"no such thing", "SERVICE_REFUSED"),
            (418, orjson.dumps({"message": "a teapot"}), "SERVICE_REFUSED"),
        ):
            stub.script = answering(text, status=status)
            is_enveloped(await ask(), family, code)
    poor = await door.key(trial=0)
    reply = await door.ask(method, target, host=host, key=poor, body=body or b"")
    assert reply.status == 402
    is_enveloped(reply, family, "AUTHZ_INSUFFICIENT_BALANCE")


async def test_too_many_requests_are_told_in_every_envelope(
    door: Door, reader: Stub, embeddings: Stub, deepsearch: Stub
) -> None:
    for name, host, target, method, family in SERVICES:
        key = await door.key(limits={name: {"rpm": 1}})
        body = b"{}" if method == "POST" else None
        for _ in range(2):
            reply = await door.ask(method, target, host=host, key=key, body=body)
        assert reply.status == 429
        is_enveloped(reply, family, "RATE_REQUEST_LIMIT_EXCEEDED")
        assert 0 < reply.json()["retry_after_ms"] <= 60_000
        assert int(reply["retry-after"]) <= 60
        assert reply["x-ratelimit-remaining-requests"] == "0"


async def test_a_failure_of_ours_is_a_500_in_the_envelope_and_free(
    door: Door, key: Key, embeddings: Stub, reader: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay = door.node.pipeline._parts.relay

    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(relay, "_whole", fail)
    reply = await door.ask("POST", "/v1/embeddings", key=key, body=b"{}")
    assert (reply.status, reply["connection"], reply["x-usage-tokens"]) == (500, "close", "0")
    is_enveloped(reply, API, "INTERNAL_ERROR")
    await door.at_rest(key.subject)
    (row,) = await door.rows(key)
    assert (row.outcome, row.cost_tokens) == ("gateway_failed", 0)
    reply = await door.ask("GET", "/https://a.example/", host="r.localhost", key=key)
    is_enveloped(reply, READER, "INTERNAL_ERROR")
