"""Who pays: answers that say error, refusals of services, services that are not there."""

import orjson
import pytest

from tests.edge.door import READER, Door, Key
from tests.edge.paying import Cost, embed, free, paid
from tests.edge.scripts import HEADER, TEXT, answering, raw
from tests.edge.stub import JSON, Stub, used


async def test_a_voided_answer_is_free(door: Door, key: Key, embeddings: Stub) -> None:
    embeddings.script = answering(used(19), [*HEADER, ("x-charge-rule", "void")])
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"], reply.body) == (200, "0", used(19))
    cost = Cost("service_void", 0, 0, 7, "failed", 200)
    await paid(door, key, reply.request_id, cost)
    assert "x-charge-rule" not in reply.names


async def test_a_page_that_failed_is_free(door: Door, key: Key, reader: Stub) -> None:
    body = orjson.dumps(
        {
            "data": None,
            "code": 422,
            "name": "AssertionFailureError",
            "status": 42206,
            "message": "No content available",
            "readableMessage": "AssertionFailureError: No content available",
        }
    )
    reader.script = answering(body, [("x-charge-rule", "void")], status=422)
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert (reply.status, reply.body) == (422, body)
    cost = Cost("service_void", 0, None, status=422)
    await paid(door, key, reply.request_id, cost, "reader")


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "no"}, "usage": {"total_tokens": 9}}',
        b'{"error": "no"}',
        b"{}",
        b"[]",
        b"null",
        b'{"choices": [{"finish_reason": "error"}], "usage": {"total_tokens": 9}}',
    ],
)
async def test_an_answer_whose_body_says_error_is_free(
    door: Door, key: Key, embeddings: Stub, body: bytes
) -> None:
    embeddings.script = answering(body, HEADER)
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"], reply.body) == (200, "0", body)
    cost = Cost("answer_says_error", 0, 0, 7, "failed", 200)
    await paid(door, key, reply.request_id, cost)


async def test_a_large_answer_that_says_error_is_free_though_a_header_has_usage(
    door: Door, key: Key, embeddings: Stub
) -> None:
    body = b'{"data": "%b", "error": "no"}' % (b"x" * 100_000)
    embeddings.script = answering(body, HEADER)
    reply = await embed(door, key)
    cost = Cost("answer_says_error", 0, 0, 7, "failed", 200)
    await paid(door, key, reply.request_id, cost)


@pytest.mark.parametrize("headers", [[], HEADER])
@pytest.mark.parametrize("size", [10, 100_000])
async def test_json_that_is_none_becomes_an_honest_502(
    door: Door, key: Key, embeddings: Stub, headers: list[tuple[str, str]], size: int
) -> None:
    script = answering(b'{"data": "%b"' % (b"x" * size), headers)
    reply = await free(door, key, embeddings, script, "service_broke_off", 502)
    assert reply.json()["code"] == "SERVICE_BROKE_OFF"


@pytest.mark.parametrize("kind", [JSON, TEXT])
async def test_an_empty_answer_is_free(door: Door, key: Key, embeddings: Stub, kind: str) -> None:
    embeddings.script = answering(b"", kind=kind)
    reply = await embed(door, key)
    assert (reply.status, reply.body, reply["x-usage-tokens"]) == (200, b"", "0")
    await paid(door, key, reply.request_id, Cost("answer_says_error", rule="failed", status=200))


async def test_no_content_is_free(door: Door, key: Key, embeddings: Stub) -> None:
    embeddings.script = raw(b"HTTP/1.1 204 No Content\r\nx-usage-tokens: 7\r\n\r\n")
    reply = await embed(door, key)
    assert (reply.status, reply["x-usage-tokens"]) == (204, "0")
    cost = Cost("answer_says_error", 0, 0, 7, "failed", 204)
    await paid(door, key, reply.request_id, cost)


async def test_a_refusal_of_the_service_in_our_envelope_passes_and_is_free(
    door: Door, key: Key, embeddings: Stub
) -> None:
    body = b'{"detail": "Model \'x\' not found", "code": "INPUT_MODEL_NOT_FOUND"}'
    script = answering(body, HEADER, status=404)
    reply = await free(door, key, embeddings, script, "service_refused", 404)
    assert reply.body == body


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (JSON, b'{"error": {"message": "no such model"}}', "no such model"),
        (JSON, b'{"message": "no"}', "no"),
        ("text/html", b"<h1>Bad</h1>", "embeddings refused the request with status 400"),
        (JSON, b"{", "embeddings refused the request with status 400"),
    ],
)
async def test_a_refusal_of_the_service_in_a_foreign_format_is_told_in_ours(
    door: Door, key: Key, embeddings: Stub, kind: str, body: bytes, said: str
) -> None:
    script = answering(body, status=400, kind=kind)
    reply = await free(door, key, embeddings, script, "service_refused", 400)
    found = reply.json()
    assert (found["detail"], found["code"]) == (said, "SERVICE_REFUSED")
    assert found["request_id"] == reply.request_id


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain; charset=utf-8", b"ParamValidationError: Invalid protocol ftp:\n"),
        ("text/event-stream", b'event: error\ndata: {"readableMessage": "no"}\n\n'),
    ],
)
async def test_a_refusal_of_the_reader_in_the_form_that_was_asked_for_passes_and_is_free(
    door: Door, key: Key, reader: Stub, kind: str, body: bytes
) -> None:
    reader.script = answering(body, status=400, kind=kind)
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert (reply.status, reply["content-type"], reply.body) == (400, kind, body)
    await paid(door, key, reply.request_id, Cost("service_refused", 0, None, status=400), "reader")


@pytest.mark.parametrize("body", [b'{"detail": "busy"}', b"busy"])
async def test_a_service_that_is_busy_is_told_with_a_time_to_wait(
    door: Door, key: Key, embeddings: Stub, body: bytes
) -> None:
    script = answering(body, status=429)
    reply = await free(door, key, embeddings, script, "service_refused", 429)
    assert reply["retry-after"] == "1"
    assert reply.json()["detail"]


@pytest.mark.parametrize("status", [401, 407])
async def test_a_service_that_does_not_believe_us_is_no_matter_of_the_clients_key(
    door: Door, key: Key, embeddings: Stub, status: int
) -> None:
    script = answering(b'{"detail": "Only the gateway may ask"}', status=status)
    reply = await free(door, key, embeddings, script, "service_failed", 502)
    assert reply.json()["code"] == "SERVICE_FAILED"


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599, 301, 304])
async def test_a_service_that_fails_or_points_elsewhere_is_free(
    door: Door, key: Key, embeddings: Stub, status: int
) -> None:
    reply_bytes = b"HTTP/1.1 %d Any\r\ncontent-type: application/json\r\n" % status
    tail = b"\r\n" if status == 304 else b"content-length: 2\r\n\r\n{}"
    script = raw(reply_bytes + b"x-usage-tokens: 7\r\nlocation: /x\r\n" + tail)
    reply = await free(door, key, embeddings, script, "service_failed", 502)
    assert reply.json()["code"] == "SERVICE_FAILED"
    assert "location" not in reply.names


async def test_a_service_that_is_not_there_is_free(door: Door, key: Key) -> None:
    """The socket of embeddings is not listened on here."""
    reply = await embed(door, key)
    assert (reply.status, reply["retry-after"]) == (503, "1")
    assert reply.json()["code"] == "SERVICE_UNAVAILABLE"
    await paid(door, key, reply.request_id, Cost("service_failed", status=503))


async def test_a_port_that_is_closed_is_free(door: Door, key: Key) -> None:
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert reply.status == 503
    assert reply.json()["name"] == "ServiceCrashedError"
    cost = Cost("service_failed", 0, None, status=503)
    await paid(door, key, reply.request_id, cost, "reader")
