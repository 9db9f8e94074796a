"""Words and passages, in every script."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.search.index import words
from services.search.index.passages import PASSAGE_CHARACTERS, best_passage


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Über GRÖSSE, naïve", ["uber", "grosse", "naive"]),
        ("Größe", ["grosse"]),
        ("ﬁne Ｆｕｌｌ", ["fine", "full"]),
        ("水門の仕組み2", ["水門", "門の", "の仕", "仕組", "組み", "2"]),
        ("水 門", ["水", "門"]),
        ("수문 관리", ["수문", "관리"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("שָׁלוֹם", ["שלום"]),
        ("x-sluice_time 3.11", ["x", "sluice", "time", "3", "11"]),
        ("Ёлка", ["елка"]),
        ("--- !!", []),
    ],
)
def test_terms_of_each_script(text: str, expected: list[str]) -> None:
    assert list(words.terms(text)) == expected


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_words_are_found_by_themselves(text: str) -> None:
    """What a document is indexed by is what a question for any of its words asks for."""
    for word in words.words(text):
        assert words.words(word) == [word]


@given(st.text(max_size=100), st.integers(1, 30))
def test_slices_lose_nothing(text: str, size: int) -> None:
    assert "".join(words.slices(text, size=size)) == text


def test_passage_shows_where_the_words_stand() -> None:
    filler = "Nothing of interest is said here. " * 100
    text = f"# Title\n\n{filler}The **upper gate** of the lock is [closed](http://a.b). {filler}"
    passage = best_passage(text, ["gate", "lock"])
    assert "The upper gate of the lock is closed." in passage
    assert len(passage) <= PASSAGE_CHARACTERS + 4
    assert passage.startswith("… ")
    assert passage.endswith(" …")


def test_passage_in_a_script_without_blanks() -> None:
    text = (
        "何も書かれていない。" * 100 + "閘門の上の扉は閉じている。" + "何も書かれていない。" * 100
    )
    assert "閘門の上の扉" in best_passage(text, ["閘門"])


@given(st.text(max_size=2000), st.lists(st.text(min_size=1, max_size=5), max_size=5))
@settings(max_examples=100)
def test_passage_of_anything_is_short(text: str, asked: list[str]) -> None:
    assert len(best_passage(text, asked)) <= PASSAGE_CHARACTERS + 4
