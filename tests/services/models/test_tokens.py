"""Counting: exactly what the tokenizer gives for the whole text, however it is sliced."""

from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from services.models import builtin
from services.models.tokens import SLICE_CHARACTERS, Tokens

PLENTY = 10**9
ODD = [
    "각갂갃힣 한국어 문장입니다",
    "กำลังน้ำ ภาษาไทยไม่มีช่องว่าง",
    "👩‍👩‍👧‍👦🏳️‍🌈👨🏽‍🚀",
    "é́̂̃̄ Z͑ͫ̓ͪ̂ͫ̽a̎̀l̈gő",
    "𠀀𪚥龘㐀䶵",
    "ﷺ ﬃ Ǆ ŉ İ ẞ ΐ ὒ",
    "\u0000\u0001\u200b\u2028\ufeff",
    "[CLS][SEP][PAD][MASK][UNK]",
    "ꙮ 𝕬𝖇𝖈 ①②③ ½ ℃",
    "𝅘𝅥𝅮 ༀ ཀྵ ក្រុង မြန်မာ",
]


@pytest.fixture(scope="module")
def tokens(model_data_dir: Path) -> Tokens:
    return Tokens("m", builtin.ensure(model_data_dir) / builtin.TOKENIZER)


@pytest.fixture(scope="module")
def whole(model_data_dir: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(builtin.ensure(model_data_dir) / builtin.TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def test_specials_are_the_two_of_bert(tokens: Tokens) -> None:
    assert (tokens.before, tokens.after, tokens.specials) == ((101,), (102,), 2)


@pytest.mark.parametrize("text", ["", " ", "word", *ODD])
def test_short_text_has_the_tokens_of_the_tokenizer(
    text: str, tokens: Tokens, whole: Tokenizer
) -> None:
    assert [101, *tokens.ids(text, PLENTY).tolist(), 102] == whole.encode(text).ids


@pytest.mark.parametrize(
    "text",
    [
        "Many words, in lines.\nAnd more of them! " * 2_000,
        "没有空格的中文句子，" * 5_000,
        "word\u0301 " * 12_000,
        "x" * (SLICE_CHARACTERS - 1) + " end of it " * 500,
        " " * 100_000 + "a",
    ],
)
def test_long_text_has_the_tokens_of_the_whole(text: str, tokens: Tokens, whole: Tokenizer) -> None:
    assert tokens.ids(text, PLENTY).tolist() == whole.encode(text, add_special_tokens=False).ids


def test_counting_stops_soon_after_there_are_enough(tokens: Tokens) -> None:
    found = len(tokens.ids("word " * 1_000_000, 100))
    assert 100 < found <= SLICE_CHARACTERS


def texts() -> st.SearchStrategy[str]:
    scripts = [
        st.characters(exclude_categories=["Cs"]),
        st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),
        st.characters(min_codepoint=0x0E00, max_codepoint=0x0E7F),
        st.characters(min_codepoint=0x1F300, max_codepoint=0x1FAFF),
        st.characters(min_codepoint=0x0300, max_codepoint=0x036F),
        st.characters(min_codepoint=0x20000, max_codepoint=0x2A6DF),
        st.characters(min_codepoint=0xFB00, max_codepoint=0xFDFF),
        st.sampled_from(["\u200d", "\ufe0f", "\0", " ", "[CLS]", "İ"]),
    ]
    return st.lists(st.one_of(scripts), max_size=40).map("".join)


@given(inputs=st.lists(texts(), min_size=1, max_size=5), bare=st.booleans())
@settings(max_examples=150, deadline=None)
def test_hold_by_bytes_of_the_body_is_never_below_the_count(
    tokens: Tokens, inputs: list[str], bare: bool
) -> None:
    """The gateway sets aside one token for each byte of the body."""
    counted = sum(len(tokens.ids(text, PLENTY)) + tokens.specials for text in inputs)
    body = orjson.dumps({"input": inputs[0] if bare and len(inputs) == 1 else inputs})
    assert counted <= len(body)
