"""A client's bucket comes from proxies that are trusted, and from nothing that it can write."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from gateway.edge.address import LOCAL_BUCKET, Addresses, parse_address

TRUSTED = ("10.0.0.0/8", "fd00::/8", "127.0.0.1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "bucket"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["9.9.9.9"], "203.0.113.7"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.7"], "203.0.113.7"),
        ("10.1.2.3", ["9.9.9.9, 203.0.113.7"], "203.0.113.7"),
        ("10.1.2.3", ["9.9.9.9, 203.0.113.7, 10.9.9.9"], "203.0.113.7"),
        ("10.1.2.3", ["9.9.9.9", "203.0.113.7,10.9.9.9", "127.0.0.1"], "203.0.113.7"),
        ("10.1.2.3", ["203.0.113.7:54321"], "203.0.113.7"),
        ("10.1.2.3", ["[2001:db8:1:2:3::4]:443"], "2001:db8:1:2::/64"),
        ("10.1.2.3", ["2001:db8:1:2:ffff:ffff:ffff:ffff"], "2001:db8:1:2::/64"),
        ("10.1.2.3", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.1.2.3", ["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.1.2.3", ["1.1.1.1, "], "10.1.2.3"),
        ("10.1.2.3", [""], "10.1.2.3"),
        ("10.1.2.3", ["1.1.1.1, _hidden"], "10.1.2.3"),
        ("::ffff:10.1.2.3", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:203.0.113.7", ["9.9.9.9"], "203.0.113.7"),
        ("64:ff9b::203.0.113.7", [], "203.0.113.7"),
        ("fd00::1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("2001:DB8:0:0:0:0:0:1", [], "2001:db8::/64"),
        (None, ["9.9.9.9"], LOCAL_BUCKET),
        ("", [], LOCAL_BUCKET),
    ],
)
def test_bucket_is_the_rightmost_hop_that_no_trusted_proxy_owns(
    peer: str | None, forwarded: list[str], bucket: str
) -> None:
    addresses = Addresses(TRUSTED)
    assert addresses.bucket(peer, forwarded) == bucket
    assert addresses.bucket(peer, forwarded) == bucket, "the same when it is known"
    headers = CIMultiDict([("x-forwarded-for", line) for line in forwarded])
    assert addresses.client(peer, headers) == bucket


@given(garbage=st.lists(st.text(max_size=30), max_size=4))
def test_without_trusted_proxies_nothing_a_client_writes_matters(garbage: list[str]) -> None:
    assert Addresses(()).bucket("203.0.113.7", garbage) == "203.0.113.7"
    assert Addresses(TRUSTED).bucket("203.0.113.7", garbage) == "203.0.113.7"


HOP = (
    st.text(max_size=20)
    | st.ip_addresses().map(str)
    | st.ip_addresses().map(lambda each: f"[{each}]:1")
)


@given(written=st.lists(HOP, max_size=6), lines=st.lists(HOP, max_size=3))
def test_what_stands_left_of_the_proxys_own_hop_never_matters(
    written: list[str], lines: list[str]
) -> None:
    forwarded = [*lines, ", ".join([*written, "203.0.113.7"])]
    assert Addresses(TRUSTED).bucket("10.1.2.3", forwarded) == "203.0.113.7"


@given(peer=st.text(max_size=30), forwarded=st.lists(st.text(max_size=200), max_size=5))
def test_garbage_never_raises(peer: str, forwarded: list[str]) -> None:
    assert Addresses(TRUSTED).bucket(peer, forwarded)
    assert Addresses(TRUSTED).bucket("10.1.2.3", forwarded)


@given(number=st.integers(0, 2**32 - 1))
def test_an_ipv4_client_has_one_bucket_in_every_spelling(number: int) -> None:
    address = IPv4Address(number)
    mapped = IPv6Address((0xFFFF << 32) | number)
    addresses = Addresses(())
    spellings = [str(address), str(mapped), mapped.exploded, f"::ffff:{address}", f"[{mapped}]:9"]
    assert {addresses.bucket(each) for each in spellings} == {str(address)}


@given(network=st.integers(2**61, 2**64 - 1), one=st.integers(0, 2**64 - 1))
def test_an_ipv6_customer_has_one_bucket_for_his_whole_64(network: int, one: int) -> None:
    addresses = Addresses(())
    first = addresses.bucket(str(IPv6Address(network << 64)))
    assert addresses.bucket(str(IPv6Address(network << 64 | one))) == first
    assert first == f"{IPv6Address(network << 64)}/64"


def test_endless_chain_of_trusted_hops_is_cut_off() -> None:
    forwarded = ["6.6.6.6, " + ", ".join(["10.0.0.9"] * 100_000)]
    assert Addresses(TRUSTED).bucket("10.1.2.3", forwarded) == "10.0.0.9"


def test_cache_stays_bounded_under_a_flood_of_addresses() -> None:
    addresses = Addresses(TRUSTED)
    for number in range(20_000):
        addresses.bucket("10.1.2.3", [f"x{number}"])
        addresses.bucket(str(IPv4Address(number + 2**24)))
    assert len(addresses._known) <= 8_192


@pytest.mark.parametrize("text", ["", " ", "1.2.3", "1.2.3.4.5", "999.1.1.1", "[::1", "::g", "a:b"])
def test_other_texts_are_no_addresses(text: str) -> None:
    found = parse_address(text)
    assert found is None or text == "[::1"
