"""Headers and signatures for the services, as pure words."""

import hmac
from dataclasses import replace

import pytest

from gateway.edge.forward import HeaderFilter, RawHeaders, Signer, allowed_lines
from gateway.edge.request_ids import RequestIds, new_request_id
from gateway.products.builtin import load_catalogue

HEADERS: RawHeaders = (
    (b"Accept", b"text/plain"),
    (b"accept", b""),
    (b"COOKIE", b"a=b"),
    (b"X-Respond-With", b"markdown"),
    (b"X-Engine", b"direct"),
    (b"\xff\xfe", b"odd"),
    (b"x" * 5_000, b"long"),
)
CONNECTIONS: tuple[RawHeaders, ...] = (
    (),
    ((b"Connection", b"keep-alive"),),
    ((b"Connection", b"close, X-Engine"),),
)


@pytest.mark.parametrize("more", CONNECTIONS)
def test_a_filter_that_remembers_says_what_one_that_looks_says(more: RawHeaders) -> None:
    products, found = load_catalogue(None).products, HeaderFilter()
    for _ in range(3):
        for product in products.values():
            assert found.lines(product, HEADERS + more) == allowed_lines(product, HEADERS + more)


def test_a_filter_forgets_with_the_catalogue() -> None:
    product, found = load_catalogue(None).products["embeddings"], HeaderFilter()
    assert b"COOKIE" not in found.lines(product, HEADERS)
    changed = replace(product, header_names=frozenset({"cookie"}))
    assert found.lines(changed, HEADERS) == allowed_lines(changed, HEADERS)
    assert b"COOKIE: a=b\r\n" in found.lines(changed, HEADERS)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
def test_a_signature_is_an_hmac_whatever_the_length_of_its_secret(length: int) -> None:
    secret = "s" * length
    lines = Signer(secret).lines("GET", "/a", None, "0192", 5, "k:1")
    text = b"GET\n/a\nstreamed\n0192\n5\nk:1"
    assert f"v1={hmac.digest(secret.encode(), text, 'sha256').hex()}\r\n" in lines


def test_ids_that_are_drawn_for_many_at_once_are_as_different_as_others() -> None:
    ids = RequestIds()
    made = [ids.new() for _ in range(1_000)] + [new_request_id() for _ in range(10)]
    assert len(set(made)) == len(made)
    assert {each[14] for each in made} == {"7"}
    assert {each[19] for each in made} <= set("89ab")
    assert {len(each) for each in made} == {36}
