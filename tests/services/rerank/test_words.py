"""Terms: words in their plain form, pairs where no blanks are written, linear in the text."""

import time

import pytest

from services.rerank import lexical
from services.rerank.words import familiar_share, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("The cats' boxes", ["the", "cat", "box"]),
        ("Cities, bosses & buses", ["city", "boss", "buse"]),
        ("E-4711 v2.0", ["e", "4711", "v2", "0"]),
        ("Café CAFÉ cafe\u0301", ["cafe"] * 3),
        ("Straße STRASSE", ["strasse"] * 2),
        ("Ёлка", ["елка"]),
        ("東京都", ["東京", "京都"]),
        ("日", ["日"]),
        ("ｶﾞﾗｽ ガラス", ["ガラ", "ラス"] * 2),
        ("한국의", ["한국", "국의"]),
        ("iPhone15が欲しい", ["iphone15", "が欲", "欲し", "しい"]),
        ("ไทย", ["ไท", "ทย"]),
        ("snake_case", ["snake", "case"]),
        ("😀 🚀", []),
        ("ﬁnance", ["finance"]),
    ],
)
def test_terms_of_a_text(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("text", "share"), [("abc", 1.0), ("中文", 0.0), ("ab中文", 0.5), ("", 1.0), ("?!", 1.0)]
)
def test_familiar_share_is_that_of_latin_letters(text: str, share: float) -> None:
    assert familiar_share(text) == share


@pytest.mark.parametrize("piece", ["a", "中", " ", "a\u0301", "ﷺ", "한", "_"])
def test_terms_take_time_in_proportion(piece: str) -> None:
    begun = time.thread_time()
    terms(piece * 1_000_000)
    assert time.thread_time() - begun < 1.0


def test_rare_words_count_more_than_common_ones() -> None:
    documents = ["pump valve", "pump hose", "pump seal", "valve pump pump"]
    found = lexical.shares("pump seal", documents)
    assert found.argmax() == 2
    assert found.max() <= 1
    assert found.min() >= 0


def test_query_without_terms_scores_nothing() -> None:
    assert lexical.shares("?!", ["a", "b"]).tolist() == [0, 0]


def test_list_in_which_nothing_matches_has_no_best() -> None:
    found = lexical.shares("quantum chromodynamics of quarks", ["the quick fox", "of mice"])
    assert found.max() < 0.2
