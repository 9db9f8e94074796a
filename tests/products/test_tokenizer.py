"""Token counts are those of cl100k_base, and long texts are counted in slices that add up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tokenizer import SLICE_CHARACTERS, Tokenizer, slices

TOKENIZER = Tokenizer()


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("hello world", 2), ("tiktoken is great!", 6), ("antidisestablishmentarianism", 6)],
)
def test_known_counts(text: str, tokens: int) -> None:
    assert TOKENIZER.count(text) == tokens


@settings(max_examples=25)
@given(words=st.lists(st.text(max_size=12), min_size=1, max_size=40), times=st.integers(1, 400))
def test_slices_add_up_to_the_text_and_are_bounded(words: list[str], times: int) -> None:
    text = " ".join(words) * times
    pieces = list(slices(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= SLICE_CHARACTERS for piece in pieces)


def test_seams_change_a_count_by_at_most_two_tokens_each() -> None:
    sentence = "The quick brown fox jumps over the lazy dog; 1,234 times, in 5 years.\n"
    text = sentence * 5_000
    alone = TOKENIZER.count(sentence * 100) * 50
    seams = len(list(slices(text))) - 1
    assert seams > 5
    assert abs(TOKENIZER.count(text) - alone) <= 2 * (seams + 50)


@given(text=st.text(max_size=300))
def test_no_token_is_shorter_than_a_byte(text: str) -> None:
    assert TOKENIZER.count(text) <= len(text.encode())


def test_text_that_is_no_unicode_is_counted_and_never_raises() -> None:
    assert TOKENIZER.count("a\udc80b") > 0
