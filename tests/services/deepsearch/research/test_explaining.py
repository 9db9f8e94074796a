"""Questions that want sentences: how, why, what is."""

import pytest

from services.deepsearch.research import passages
from services.deepsearch.research.asking import asked, in_context
from services.deepsearch.research.explaining import explains
from services.deepsearch.research.extractive import Extractive
from services.deepsearch.research.loop import research
from services.deepsearch.research.mind import Task
from services.deepsearch.research.text import names
from services.deepsearch.tools import Page
from tests.services.deepsearch.research.small_web import Article, Heard, SmallWeb, options

WEIR = Article(
    "Weir",
    "In this chapter we'll talk about the weir. A weir is a low dam that regulates a river. "
    "Otto Brand built the weir of Fallenmoor.",
)
LOCK = Article("Lock", "A lock lifts boats. Mara Quill drew the first lock of Fallenmoor.")


@pytest.mark.parametrize(
    ("question", "wants_sentences"),
    [
        ("What does a sluice do?", True),
        ("How do I restore a backup?", True),
        ("What is ownership in Rust?", True),
        ("Why does Rust have no garbage collector?", True),
        ("What is the difference between a lock and a weir?", True),
        ("Which command makes a key?", True),
        ("水闸为什么重要", True),
        ("What is the capital of France?", False),
        ("Who wrote Hamlet?", False),
        ("How many workers are there?", False),
        ("In which year was the Elder Canal opened?", False),
        ("What does the river by the city where the Brand Institute is located flow into?", False),
    ],
)
def test_questions_that_want_sentences_are_told_from_those_that_want_a_name(
    question: str, wants_sentences: bool
) -> None:
    assert explains(asked(question)) is wants_sentences


async def test_what_something_is_is_answered_by_the_sentence_that_says_so() -> None:
    heard = Heard()
    web = SmallWeb([WEIR, LOCK])
    found = await research(Task("What is a weir?"), Extractive(), web, heard, options())
    assert found.answer.startswith("A weir is a low dam that regulates a river. [^1]")
    assert found.citations[0].quote in WEIR.text
    assert found.finish == "stop"
    # Names that stand there lead nowhere.
    assert not any("Otto" in query for query in heard.queries)


def test_a_pointer_into_a_text_is_no_name() -> None:
    assert names("As in Listing 4-9 and Chapter 13, Mara Quill wrote Figure 2.") == ["Mara Quill"]


def test_of_a_long_page_few_pieces_are_embedded_and_rare_words_choose_them() -> None:
    filler = "The lock is a lock and the lock stays a lock for all who pass here today. " * 10
    told = "The lock keeper of Fallenmoor was paid in barley. "
    text = filler * 5 + told + filler * 5
    found = passages.promising("How was the lock keeper of Fallenmoor paid?", text)
    assert len(found) <= passages.PIECES_EMBEDDED
    assert any("barley" in piece for piece in found)


async def test_a_question_without_a_name_follows_none() -> None:
    heard = Heard()
    question = "How many boats fit into a lock?"
    lock = Article("Lock", "A lock of Fallenmoor holds 4 boats. Mara Quill drew the lock.")
    found = await research(Task(question), Extractive(), SmallWeb([lock]), heard, options())
    assert heard.queries[0] == question
    assert not any("Mara" in query for query in heard.queries)
    assert found.answer.startswith("4")


async def test_what_is_said_of_something_else_is_not_told_as_the_answer() -> None:
    essay = Article("Essays", "In an essay of 1972 somebody wrote that locks were released early.")
    canal = Article("Elder Canal", "Elder Canal is long.")
    question = "When was Elder Canal released?"
    found = await research(
        Task(question), Extractive(), SmallWeb([essay, canal]), Heard(), options()
    )
    assert not found.answer.startswith("1972")
    assert found.finish != "stop"


async def test_what_was_found_and_could_not_be_read_is_told_with_its_address() -> None:
    web = SmallWeb([WEIR, LOCK], budget=1, search_tokens=400)
    found = await research(Task("What is a weir?"), Extractive(), web, Heard(), options())
    assert WEIR.url in found.answer
    assert found.citations == ()


async def test_what_came_along_is_looked_into_before_the_search_spends_the_budget() -> None:
    file = Page("attachment:pay.txt", "pay.txt", "The keeper was paid in barley.", None, False)
    task = Task("What does the file say about barley?", attachments=(file,))
    web = SmallWeb([WEIR, LOCK], budget=300, search_tokens=400)
    found = await research(task, Extractive(), web, Heard(), options())
    assert "paid in barley" in found.answer


@pytest.mark.parametrize(
    ("question", "is_changed"),
    [
        ("And why is it needed?", True),
        ("How long is it?", True),
        ("Who built the weir?", False),
        ("And where was Mara Quill born?", False),
    ],
)
def test_a_question_that_goes_on_is_asked_with_the_one_before(
    question: str, is_changed: bool
) -> None:
    found = in_context(question, "What is a weir?")
    assert (found == f"What is a weir? {question}") is is_changed
    assert in_context(question, "") == question


async def test_a_wrapped_line_is_shown_whole_and_quoted_as_it_stands() -> None:
    text = "- A weir is a low dam\n  that regulates a river.\n- A lock lifts boats.\nlet x = 5;\n"
    web = SmallWeb([Article("Weir", text)])
    found = await research(Task("What is a weir?"), Extractive(), web, Heard(), options())
    assert "A weir is a low dam that regulates a river. [^1]" in found.answer
    assert found.citations[0].quote in text
