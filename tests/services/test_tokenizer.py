"""Counting and listing tokens: the known figures, and that slicing changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.tokenizer import Tokenizer, slices, sound

CL100K = Tokenizer("cl100k_base")
O200K = Tokenizer("o200k_base")
# What people write: words, marks, figures and scripts of several kinds, side by side.
PIECES = st.sampled_from(
    ["the", " quick", " brown", ". ", ", ", "’s ", "'s", "\n", "\n\n", "  ", "1234", "中文", "。",
     "、", "日本語", "한국", "é", "e\u0301", "🚀", "👩\u200d👧", "ß", "$x$", "#", "==", "\t", "Ü"]
)  # fmt: skip


def test_counts_are_those_of_the_vocabularies() -> None:
    sample = (
        "\n  Jina AI: Your Search Foundation, Supercharged! 🚀\n  Ihrer Suchgrundlage, aufgeladen! "
        "🚀\n  您的搜索底座，从此不同！🚀\n  検索ベース,もう二度と同じことはありません！🚀\n"
    )
    assert CL100K.count(sample) == 78  # the figure of the wire contract
    assert CL100K.encode("hello world") == [15339, 1917]
    assert O200K.encode("hello world") == [24912, 2375]


def test_special_words_are_text() -> None:
    assert len(CL100K.encode("<|endoftext|>")) > 1


def test_unknown_vocabulary_is_refused() -> None:
    with pytest.raises(ValueError, match="cl100k_base, o200k_base"):
        Tokenizer("gpt2")


def test_lone_surrogate_counts_as_the_replacement_character() -> None:
    assert CL100K.count("a\ud800b") == CL100K.count("a?b") == CL100K.count(sound("a\ud800b"))


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, max_size=400).map("".join), st.integers(8, 200))
def test_slices_are_the_text_in_bounded_pieces(text: str, size: int) -> None:
    pieces = list(slices(text, size))
    assert "".join(pieces) == text
    assert all(len(piece) <= size for piece in pieces)


@pytest.mark.parametrize("vocabulary", [CL100K, O200K], ids=["cl100k", "o200k"])
@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES, min_size=100, max_size=400).map("".join))
def test_count_of_slices_is_the_count(vocabulary: Tokenizer, text: str) -> None:
    """A cut before a mark between letters is a place where the vocabulary divides anyway."""
    size = 128
    exact = len(vocabulary.encode(text))
    sliced = sum(len(vocabulary.encode(piece)) for piece in slices(text, size))
    hard_cuts = sum(1 for piece in list(slices(text, size))[:-1] if len(piece) == size)
    assert abs(sliced - exact) <= 2 * hard_cuts


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200).filter(lambda text: sound(text) == text))
def test_pieces_are_the_text_and_the_ids(text: str) -> None:
    tokens = CL100K.encode(text)
    pieces = CL100K.pieces(tokens)
    assert "".join(piece for piece, _ in pieces) == text
    assert [token for _, ids in pieces for token in ids] == tokens


def test_character_over_several_tokens_is_one_piece() -> None:
    assert CL100K.pieces(CL100K.encode("底座")) == [("底", [11795, 243]), ("座", [11795, 100])]
    cut = CL100K.encode("底")[:1]
    assert CL100K.pieces(cut) == [("\ufffd", cut)]
