"""What passes without being metered: models and classifiers; nothing of it counts or costs."""

import pytest

from gateway.ledger.rows import BalanceRow
from services.signing import Signed, verify_head
from tests.edge.door import API, DEEPSEARCH, SECRETS, TRIAL, Door, Key
from tests.edge.scripts import answering, raw
from tests.edge.stub import Stub

LIST = b'{"object": "list", "data": []}'


async def test_models_are_listed_without_a_key(
    door: Door, embeddings: Stub, deepsearch: Stub
) -> None:
    embeddings.script = deepsearch.script = answering(LIST, [("set-cookie", "a=b")])
    for host, stub, target in (
        (API, embeddings, "/v1/models"),
        (DEEPSEARCH, deepsearch, "/v1/models/m%2Fx?y=z"),
        ("127.0.0.1", embeddings, "/v1/models"),
    ):
        reply = await door.ask("GET", target, host=host, headers=[("origin", "https://b.example")])
        assert (reply.status, reply.body) == (200, LIST)
        assert reply["access-control-allow-origin"] == "https://b.example"
        assert "set-cookie" not in reply.names
        assert "x-usage-tokens" not in reply.names
        turn = stub.turns[-1]
        assert turn.path == target
        fields = dict(turn.headers)
        secret, at_ms = SECRETS["internal_secret"].encode(), int(fields["x-sluice-time"])
        signed = verify_head(secret, "GET", turn.path, fields, at_ms)
        assert isinstance(signed, Signed)
        assert signed.request_id == reply.request_id


async def test_classifiers_are_listed_and_deleted_by_their_owner(
    door: Door, key: Key, classifier: Stub
) -> None:
    classifier.script = answering(b"[]")
    for method, target in (("GET", "/v1/classifiers"), ("DELETE", "/v1/classifiers/abc")):
        reply = await door.ask(method, target, key=key)
        assert (reply.status, reply.body) == (200, b"[]")
        assert classifier.turns[-1].get("x-sluice-subject") == key.subject
    assert (await door.ask("GET", "/v1/classifiers")).status == 401
    assert await door.rows(key) == []
    assert await door.balance(key) == TRIAL
    standing = await door.standing(key.subject, "classify_few_shot")
    assert standing.products["classify_few_shot"].remaining_requests == 20


@pytest.mark.parametrize(("status", "http"), [("suspended", 402), ("revoked", 401)])
async def test_classifiers_are_not_for_keys_that_may_not_be_used(
    door: Door, key: Key, classifier: Stub, status: str, http: int
) -> None:
    book = door.node.ground.book
    change = book.revoke(key.key_id) if http == 401 else book.set_status(key.key_id, status)
    assert isinstance(await door.run(change), BalanceRow)
    assert (await door.ask("GET", "/v1/classifiers", key=key)).status == http
    assert classifier.turns == []


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (b"HTTP/1.1 404 No\r\ncontent-length: 4\r\n\r\nnope", 404, "RESOURCE_NOT_FOUND"),
        (b"HTTP/1.1 409 No\r\ncontent-length: 4\r\n\r\nnope", 409, "SERVICE_REFUSED"),
        (b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\n{}", 502, "SERVICE_FAILED"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}", 502, "SERVICE_FAILED"),
        (b"HTTP/1.1 302 No\r\ncontent-length: 2\r\n\r\n{}", 502, "SERVICE_FAILED"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{}", 502, "SERVICE_BROKE_OFF"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 9_000_000, 502, "SERVICE_BROKE_OFF"),
        (b"", 502, "SERVICE_BROKE_OFF"),
    ],
)
async def test_failures_behind_a_list_are_told_in_our_envelope(
    door: Door, key: Key, classifier: Stub, said: bytes, status: int, code: str
) -> None:
    classifier.script = raw(said)
    reply = await door.ask("GET", "/v1/classifiers/x", key=key)
    assert (reply.status, reply.json()["code"]) == (status, code)


async def test_a_long_list_passes(door: Door, key: Key, classifier: Stub) -> None:
    body = b"[%b]" % b",".join([b'"classifier"'] * 200_000)
    classifier.script = answering(body)
    reply = await door.ask("GET", "/v1/classifiers", key=key)
    assert (reply.status, reply.body) == (200, body)


async def test_a_list_of_a_service_that_is_not_there_is_a_503(door: Door, key: Key) -> None:
    reply = await door.ask("GET", "/v1/classifiers", key=key)
    assert (reply.status, reply["retry-after"]) == (503, "1")
    assert reply.json()["code"] == "SERVICE_UNAVAILABLE"


async def test_a_refusal_of_a_list_keeps_the_code_of_its_service(
    door: Door, key: Key, classifier: Stub
) -> None:
    said = b'{"detail": "no such classifier", "code": "CLASSIFIER_NOT_FOUND", "message": "no"}'
    classifier.script = answering(said, status=404)
    reply = await door.ask("DELETE", "/v1/classifiers/abc", key=key)
    assert (reply.status, reply.body) == (404, said)
    classifier.script = answering(b"gone", status=404, kind="text/plain")
    reply = await door.ask("DELETE", "/v1/classifiers/abc", key=key)
    assert (reply.status, reply.json()["code"]) == (404, "RESOURCE_NOT_FOUND")
