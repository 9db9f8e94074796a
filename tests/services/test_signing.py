"""Only what the gateway signed is answered: everything else is 401, and its body is not read."""

import time

import pytest

from services.signing import TOLERANCE_MS, Signed, body_matches, sign, verify_head
from tests.services.asking import SECRET, Answer, Asker, signed_headers
from tests.services.site import Site

NOW = 1_800_000_000_000
PATH = "/https://example.com/a?b=c"


def checked(headers: dict[str, str], method: str = "GET", path: str = PATH) -> Signed | str:
    return verify_head(SECRET.encode(), method, path, headers, NOW)


def test_signature_is_the_hmac_that_the_contract_writes_down() -> None:
    """Worked out with `openssl dgst -sha256 -hmac`: both sides must give these bytes."""
    facts = {
        "method": "POST",
        "path_with_query": "/v1/segment?a=b",
        "body_digest": "streamed",
        "request_id": "0192f0c1-0000-7000-8000-000000000001",
        "time_ms": "1800000000000",
        "subject": "k:42",
    }
    expected = "v1=613642bb7c26d08a7251dea34adfff76eaca367dc7e6f2745db32fbdbcda26dd"
    assert sign(b"k" * 32, **facts) == expected


def test_signed_head_gives_its_facts() -> None:
    headers = signed_headers("GET", PATH, time_ms=NOW)
    found = checked(headers)
    assert isinstance(found, Signed)
    assert found.request_id == headers["x-request-id"]
    assert found.subject == "a:192.0.2.1"
    assert body_matches(found, b"")
    assert not body_matches(found, b"x")


def test_streamed_body_is_vouched_for_by_its_head() -> None:
    found = checked(signed_headers("GET", PATH, time_ms=NOW, streamed=True))
    assert isinstance(found, Signed)
    assert found.body_digest is None
    assert body_matches(found, b"anything")


@pytest.mark.parametrize(
    "name",
    ["x-sluice-signature", "x-sluice-time", "x-sluice-subject", "x-request-id", "x-sluice-body"],
)
@pytest.mark.parametrize("value", [None, "", "x", "é", "0", "v1=" + "0" * 64])
def test_any_header_missing_or_changed_is_refused(name: str, value: str | None) -> None:
    headers = signed_headers("GET", PATH, time_ms=NOW)
    if value is None:
        del headers[name]
    else:
        headers[name] = value
    assert isinstance(checked(headers), str)


@pytest.mark.parametrize("off_ms", [TOLERANCE_MS + 1, -TOLERANCE_MS - 1, 10**12])
def test_stale_and_future_times_are_refused(off_ms: int) -> None:
    found = checked(signed_headers("GET", PATH, time_ms=NOW + off_ms))
    assert isinstance(found, str)
    assert "stale" in found


@pytest.mark.parametrize("off_ms", [TOLERANCE_MS, -TOLERANCE_MS])
def test_times_within_the_tolerance_pass(off_ms: int) -> None:
    assert isinstance(checked(signed_headers("GET", PATH, time_ms=NOW + off_ms)), Signed)


def test_other_method_path_query_or_secret_is_refused() -> None:
    headers = signed_headers("GET", PATH, time_ms=NOW)
    assert isinstance(checked(headers, method="POST"), str)
    assert isinstance(checked(headers, path=PATH + "&d"), str)
    assert isinstance(checked(headers, path=PATH.replace("?b=c", "")), str)
    forged = signed_headers("GET", PATH, time_ms=NOW, secret="another secret of some length")
    assert isinstance(checked(forged), str)


async def _refused(asker: Asker, headers: dict[str, str], body: bytes = b"") -> Answer:
    answer = await asker.raw("POST", "/v1/segment", headers, body)
    assert answer.status == 401
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.void
    return answer


async def test_service_refuses_strangers_in_json(segmenter: Asker, reader: Asker) -> None:
    assert "x-sluice-signature" in (await _refused(segmenter, {})).json["detail"]
    answer = await reader.raw("GET", "/https://example.com/", {})
    assert answer.status == 401
    assert answer.json["status"] == 40102
    assert answer.void


async def test_service_refuses_another_body_than_the_signed_one(segmenter: Asker) -> None:
    headers = signed_headers("POST", "/v1/segment", b'{"content": "a"}')
    answer = await _refused(segmenter, headers, b'{"content": "b"}')
    assert answer.json["message"] == "The body is not the one that was signed"
    assert answer.json["request_id"] == headers["x-request-id"]


async def test_service_takes_a_streamed_body(segmenter: Asker) -> None:
    headers = signed_headers("POST", "/v1/segment", streamed=True)
    answer = await segmenter.raw("POST", "/v1/segment", headers, b'{"content": "a b"}')
    assert answer.json["num_tokens"] == 2


async def test_service_refuses_a_body_beyond_its_cap(segmenter: Asker) -> None:
    body = b"[" + b" " * 1_100_000 + b"]"
    headers = signed_headers("POST", "/v1/segment", body)
    answer = await segmenter.raw("POST", "/v1/segment", headers, body)
    assert answer.status == 413
    assert answer.void


async def test_stale_request_is_refused_by_the_service(reader: Asker, site: Site) -> None:
    path = f"/{site.origin}/page/links"
    stale = time.time_ns() // 1_000_000 - 2 * TOLERANCE_MS
    before = len(site.requests)
    answer = await reader.raw("GET", path, signed_headers("GET", path, time_ms=stale))
    assert answer.status == 401
    assert len(site.requests) == before


async def test_health_needs_no_signature(segmenter: Asker, reader: Asker) -> None:
    for asker in (segmenter, reader):
        answer = await asker.raw("GET", "/health", {})
        assert (answer.status, answer.json) == (200, {"status": "ok"})
