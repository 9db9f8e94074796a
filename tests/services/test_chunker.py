"""The chunker: lossless, capped, at the seams of the text, and linear whatever the text."""

import random
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmenter.chunker import MAX_CHUNK_CHARACTERS, chunks

SAMPLE = (
    "\n  Jina AI: Your Search Foundation, Supercharged! 🚀\n  Ihrer Suchgrundlage, aufgeladen! 🚀\n"
    "  您的搜索底座，从此不同！🚀\n  検索ベース,もう二度と同じことはありません！🚀\n"
)
# The promise of the contract, of processor time: the machine may be busy with other things.
MS_PER_10_000 = 50.0
LENGTH = 30_000

MARKUP = st.lists(
    st.sampled_from(
        [*" \n\t.,;:!?()[]{}<>#*=-|`~$\"'\\", "\n\n", "\r\n", "    ", "word", "wörd", "中文",
         "。", "！", "🚀", "\u0301", "\u200d", "```\n", "<table>", "</table>", "<h1>", "</h1>",
         "<pre>", "</pre>", "---\n", "1. ", "- [ ] ", "> ", "| a | b |\n", "$$", "\\[", "\\]"]
    ),
    max_size=300,
).map("".join)  # fmt: skip


def cut(text: str, most: int = MAX_CHUNK_CHARACTERS) -> list[str]:
    return [text[start:end] for start, end in chunks(text, most)]


@settings(max_examples=150, deadline=None)
@given(st.one_of(MARKUP, st.text(max_size=400)), st.integers(1, 1200))
def test_chunks_joined_are_the_text_without_its_leading_space(text: str, most: int) -> None:
    spans = chunks(text, most)
    assert "".join(text[start:end] for start, end in spans) == text.lstrip()
    assert all(0 < end - start <= most for start, end in spans)
    assert all(a[1] == b[0] for a, b in pairwise(spans))


@settings(max_examples=100, deadline=None)
@given(MARKUP)
def test_no_chunk_begins_with_space_or_a_closing_mark(text: str) -> None:
    for chunk in cut(text, 100_000)[1:]:
        assert not chunk[0].isspace()
        assert chunk[0] not in ")]},;，。、"


def test_sample_of_the_contract_has_its_four_chunks() -> None:
    assert chunks(SAMPLE) == [(3, 54), (54, 91), (91, 107), (107, 131)]


@pytest.mark.parametrize("text", ["", " ", "\n\n\t ", "\u3000"])
def test_nothing_but_space_has_no_chunk(text: str) -> None:
    assert chunks(text) == []


@pytest.mark.parametrize(
    "parts",
    [
        ["---\ntitle: x\nlist:\n  - a\n---\n\n", "Text below.\n"],
        ["# Heading\n\n", "A line.\n", "## Next\n", "Another line."],
        ["Heading\n=======\n\n", "A line below it.\n"],
        ["<h2 class='x'>Heading</h2>\n", "Text.\n"],
        ["[1] A citation without an end\n", "[2] Another one\n"],
        ["1. one\n   - nested a\n   - nested b\n", "2. two\n", "3. three\n"],
        ["- one\n", "- two\n", "* three\n"],
        ["> quoted\n> in two lines\n\n", "Not quoted.\n"],
        ["```python\na = 1\n\nb = 2\n```\n\n", "Text.\n"],
        ["~~~\n```\n~~~\n", "Text.\n"],
        ["<pre>\n<code>a\n\nb</code>\n</pre>\n", "Text.\n"],
        ["| a | b |\n|---|---|\n| 1 | 2 |\n\n", "Text.\n"],
        ["a | b\n--|--\n1 | 2\n\n", "Text.\n"],
        ["<table>\n<tr>\n\n<td>1</td></tr>\n</table>\n", "Text.\n"],
        ["Above.\n\n", "***\n\n", "Below.\n"],
        ["Above.\n", "<hr>\n", "Below.\n"],
        ["$$\na + b = c.\nd = e\n$$\n\n", "Text.\n"],
        ["One sentence\nover two lines. ", "And another\none. ", "The last."],
        ["第一句话没有结束\n在这里结束。", "第二句话也一样\n结束了！"],
        ["He said “wait\nfor me.” ", "Then he\nwent."],
        ["A paragraph without\nany end of a sentence\n\n", "Another\none\n"],
    ],
)
def test_text_is_cut_at_its_seams(parts: list[str]) -> None:
    assert cut("".join(parts)) == parts


def test_long_line_is_cut_between_sentences() -> None:
    sentence = "This is a sentence of the usual length. "
    assert cut(sentence * 40) == [sentence] * 40


def test_longer_chunk_than_asked_for_is_cut_between_words() -> None:
    pieces = cut("word " * 300, 100)
    assert all(len(piece) <= 100 for piece in pieces)
    assert all(piece.startswith("word") and piece.endswith(" ") for piece in pieces)


def test_cut_does_not_tear_an_accent_from_its_letter() -> None:
    pieces = cut("e\u0301" * 400, 101)
    assert all(piece[0] == "e" for piece in pieces)


def hostile() -> dict[str, str]:
    """Texts made to make a rule look far and take little."""
    chance = random.Random(7)
    letters = ' \n\t.()[]<>#*=-|`~$"\\a1中。🚀'
    units = [
        "a", " ", "\n", "(", "( ", "(\n", "[", "[1]\n", "<", "<a ", "<a>", "<a>\n", "<h1>",
        "<h1>x\n", "<table>", "<table>\n", "<pre>\n", "```x\n~~~y\n", "`", "```\n", "- ", "-\n",
        "1. a\n", "1. ", "1. a\n  - b\n", ">", ">\n", "|", "|\n", "a|b\n", "$", "$ ", "$$\n", "\\(",
        "\\[\n", '"', '" ', '"\n', "中", "中。", "🚀", "🚀 ", "e\u0301", "\u200d", ")", "a\r\n",
        "a\n\n", "a. ", ".", ".\n", '."', "a\n===\n", "- - - x\n", "---\n", "<hr ", "\t\t\tx\n",
        "‘a", "「", "a\n" + " " * 30, "a" * 399 + " ", "a" * 801 + "\n", "-|" * 400 + "x\n",
        "  - x\n" * 3, "<a" + " " * 90,
    ]  # fmt: skip
    texts = {repr(unit[:12]): unit * (LENGTH // len(unit)) for unit in units}
    texts["space after"] = "a" + " " * LENGTH
    texts["chance"] = "".join(chance.choice(letters) for _ in range(LENGTH))
    return texts


@pytest.mark.parametrize("most", [1, 7, MAX_CHUNK_CHARACTERS])
@pytest.mark.parametrize("name", hostile())
def test_no_text_takes_longer_than_the_promise(name: str, most: int) -> None:
    text = hostile()[name]
    best_s = 1e9
    for _ in range(3):
        begun = time.process_time()
        spans = chunks(text, most)
        best_s = min(best_s, time.process_time() - begun)
        if best_s * 1000 / len(text) * 10_000 <= MS_PER_10_000:
            break
    assert "".join(text[start:end] for start, end in spans) == text.lstrip()
    assert best_s * 1000 / len(text) * 10_000 <= MS_PER_10_000
