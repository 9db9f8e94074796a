"""The words of the pages: the same in every language, none left out, none left in English."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.control.web.templates import FOLDER as PAGES
from gateway.control.web.texts import FOLDER as TEXTS

OTHERS = ("fr", "ja", "zh")
GAP = re.compile(r"\{[a-z_]+\}")
# Names, and what is the same everywhere.
SAME = {
    "product", "thousands", "script.thousands", "products.deepsearch", "pages.chat",
    "script.answer", "statuses.active", "front.product", "chat.question",
    "front.of_budget",
}  # fmt: skip
# Parts of templates that nobody reads as words.
UNREAD = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<code[^>]*>.*?</code>|<[^>]*>", re.DOTALL)
ATTRIBUTE = re.compile(r'\b(?:aria-label|title|placeholder|alt)="([^"]*)"')
PLAIN = {"ms", "sluice_…", "UTC", "cURL"}


def flat(words: dict[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every text by its whole name."""
    for name, value in words.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        elif isinstance(value, list):
            for index, each in enumerate(value):
                yield from flat(each, f"{above}{name}.{index}.")
        else:
            yield above + name, value


def texts(language: str) -> dict[str, str]:
    return dict(flat(tomllib.loads((TEXTS / f"{language}.toml").read_text(encoding="utf-8"))))


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_everything_with_the_same_gaps(language: str) -> None:
    english, other = texts("en"), texts(language)
    assert sorted(other) == sorted(english)
    wrong = [name for name in english if sorted(GAP.findall(english[name])) != gaps_of(other[name])]
    assert wrong == []


def gaps_of(text: str) -> list[str]:
    return sorted(GAP.findall(text))


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_left_in_english(language: str) -> None:
    english, other = texts("en"), texts(language)
    same = {name for name in english if other[name] == english[name]}
    assert same - SAME == set()


@pytest.mark.parametrize("page", sorted(path.name for path in PAGES.glob("*.html")))
def test_templates_have_no_words_of_their_own(page: str) -> None:
    source = (PAGES / page).read_text(encoding="utf-8")
    shown = UNREAD.sub(" ", source)
    shown += " ".join(UNREAD.sub(" ", found) for found in ATTRIBUTE.findall(source))
    words = {word for word in re.findall(r"[\w…]{2,}", shown) if not word.isdigit()}
    assert words - PLAIN == set()


@pytest.mark.parametrize("language", ["en", *OTHERS])
def test_thousands_are_set_apart_by_one_sign(language: str) -> None:
    found = texts(language)
    assert found["thousands"] == found["script.thousands"]
    assert len(found["thousands"]) == 1
