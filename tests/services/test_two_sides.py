"""The two sides of the signature: what the gateway writes, the services accept, byte for byte."""

import hashlib

import pytest

from gateway.edge.forward import MAX_SIGNED_BYTES, STREAMED, Signer
from services import wire
from services.signing import Signed, body_matches, verify_head

SECRET = "the secret of one deployment"
NOW = 1_800_000_000_000


def headers_of(lines: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in lines.split("\r\n") if line)


@pytest.mark.parametrize("body", [b"", b"{}", b"\x00\xff" * 1000, None])
@pytest.mark.parametrize("path", ["/", "/https://example.com/a?b=%20c&d", "/日本", "/a\udcff"])
def test_service_accepts_what_the_gateway_signed(path: str, body: bytes | None) -> None:
    lines = Signer(SECRET).lines("POST", path, body, "0192-id", NOW, "k:42")
    found = verify_head(SECRET.encode(), "POST", path, headers_of(lines), NOW + 1000)
    assert isinstance(found, Signed)
    assert (found.request_id, found.subject) == ("0192-id", "k:42")
    assert body_matches(found, body or b"streamed bytes" * (body is None))
    digest = None if body is None else hashlib.sha256(body).hexdigest()
    assert found.body_digest == digest


def test_both_sides_use_the_same_word_for_a_streamed_body() -> None:
    assert wire.STREAMED == STREAMED
    assert MAX_SIGNED_BYTES == 1024 * 1024
