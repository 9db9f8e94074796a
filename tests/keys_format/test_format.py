"""A key carries its own check: typos are refused without a look-up; at rest it is a hash."""

import hmac
import random
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.keys.format import (
    ALPHABET,
    KEY_CHARACTERS,
    MAX_KEY_ID,
    RANDOM_BYTES,
    check_key,
    format_key_id,
    key_hmac,
    key_id_from_random,
    last_characters,
    make_key,
    parse_key_id,
)

PREFIX = "sluice_"
RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(random_bytes=RANDOM)
def test_made_key_has_the_public_form_and_passes_its_check(random_bytes: bytes) -> None:
    key = make_key(random_bytes, PREFIX)
    assert key.startswith(PREFIX)
    assert len(key) == len(PREFIX) + KEY_CHARACTERS == len(PREFIX) + 60
    assert set(key[len(PREFIX) :]) <= set(ALPHABET)
    assert check_key(key, PREFIX)


def test_every_single_wrong_character_is_caught() -> None:
    key = make_key(random.Random(1).randbytes(RANDOM_BYTES), PREFIX)
    for place in range(len(key)):
        for wrong in ALPHABET + "_- \x00é":
            if wrong != key[place]:
                assert not check_key(key[:place] + wrong + key[place + 1 :], PREFIX)


@pytest.mark.parametrize("seed", range(200))
def test_every_exchange_of_neighbours_is_caught(seed: int) -> None:
    key = make_key(random.Random(seed).randbytes(RANDOM_BYTES), PREFIX)
    for place in range(len(key) - 1):
        pair = key[place + 1] + key[place]
        if pair != key[place : place + 2]:
            assert not check_key(key[:place] + pair + key[place + 2 :], PREFIX)


def test_exchange_at_the_seam_of_text_and_checksum_can_never_pass() -> None:
    """There both change; the text's CRC then differs by more than one digit of it can say.

    Changing the last byte by d changes the CRC by XOR with the table entry of d. The first of six
    digits counts 62**5, so the difference of the two CRCs would have to be a multiple of that.
    """
    place = 62**5
    for one in ALPHABET:
        for other in ALPHABET:
            if one == other:
                continue
            mask = zlib.crc32(one.encode()) ^ zlib.crc32(other.encode())
            # For CRCs a and a ^ mask below 2**32 the difference is a signed sum of mask's bits.
            low = {sign * digit * place for digit in range(1, 62) for sign in (1, -1)}
            assert not any(_is_signed_sum(each, mask) for each in low if abs(each) < 2**32)


def _is_signed_sum(number: int, mask: int) -> bool:
    """Whether the bits of mask, each with a sign of its own, can add up to the number."""
    # All plus is `mask`; turning one bit to minus takes twice that bit off.
    half, odd = divmod(mask - number, 2)
    return odd == 0 and half >= 0 and half & ~mask == 0


@given(random_bytes=RANDOM, cut=st.integers(1, 66), more=st.text(min_size=1, max_size=5))
def test_shorter_longer_and_foreign_texts_are_no_keys(
    random_bytes: bytes, cut: int, more: str
) -> None:
    key = make_key(random_bytes, PREFIX)
    assert not check_key(key[:-cut], PREFIX)
    assert not check_key(key + more, PREFIX)
    assert not check_key(more + key, PREFIX)
    assert not check_key(key.replace(PREFIX, "slvice_"), PREFIX)
    assert not check_key(key, "other_")


@given(text=st.text(max_size=80))
def test_check_of_any_text_never_raises(text: str) -> None:
    assert not check_key(text, PREFIX)
    assert not check_key(PREFIX + text[:60].ljust(60, "é"), PREFIX)
    assert not check_key(PREFIX + "\udc80" * 60, PREFIX)


def test_key_of_another_prefix_does_not_pass_with_the_prefix_exchanged() -> None:
    key = make_key(bytes(RANDOM_BYTES), "other_")
    assert check_key(key, "other_")
    assert not check_key(PREFIX + key.removeprefix("other_"), PREFIX)


@pytest.mark.parametrize("size", [0, 47, 49])
def test_key_is_made_of_exactly_48_random_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="48 random bytes"):
        make_key(bytes(size), PREFIX)


def test_all_characters_are_about_equally_frequent() -> None:
    source = random.Random(7)
    counts = dict.fromkeys(ALPHABET, 0)
    for _ in range(2_000):
        for character in make_key(source.randbytes(RANDOM_BYTES), PREFIX)[len(PREFIX) : -6]:
            counts[character] += 1
    expected = 2_000 * 54 / 62
    assert all(0.85 * expected < count < 1.15 * expected for count in counts.values())


def test_hmac_is_sha256_under_the_pepper() -> None:
    key = make_key(bytes(RANDOM_BYTES), PREFIX)
    found = key_hmac(b"pepper", key)
    assert found == hmac.new(b"pepper", key.encode(), "sha256").digest()
    assert found != key_hmac(b"salt", key)
    assert len(found) == 32


def test_last_characters_are_four() -> None:
    assert last_characters("sluice_abcdef") == "cdef"


@given(key_id=st.integers(1, MAX_KEY_ID))
def test_key_id_survives_its_public_form(key_id: int) -> None:
    text = format_key_id(key_id)
    assert text.startswith("key_")
    assert len(text) == 15
    assert parse_key_id(text) == key_id


@pytest.mark.parametrize("key_id", [0, -1, MAX_KEY_ID + 1])
def test_number_out_of_range_has_no_public_form(key_id: int) -> None:
    with pytest.raises(ValueError, match="between 1"):
        format_key_id(key_id)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key_",
        "key_00000000000",
        "key_zzzzzzzzzzz",
        "key_0000000001",
        "key_000000000001",
        "00000000001",
        "KEY_00000000001",
        "key_0000000000é",
        "key_0000000000 ",
        "key_-0000000001",
    ],
)
def test_other_texts_are_no_key_ids(text: str) -> None:
    assert parse_key_id(text) is None


@settings(max_examples=50)
@given(text=st.text(max_size=20))
def test_parse_of_any_text_gives_back_only_what_formats_to_it(text: str) -> None:
    key_id = parse_key_id(text)
    assert key_id is None or format_key_id(key_id) == text


@given(random_bytes=st.binary(min_size=8, max_size=16))
def test_random_key_id_is_in_range(random_bytes: bytes) -> None:
    assert 1 <= key_id_from_random(random_bytes) <= MAX_KEY_ID


def test_random_zero_is_an_id_too() -> None:
    assert key_id_from_random(bytes(8)) == 1
    assert key_id_from_random(b"\x80" + bytes(7)) == 1
