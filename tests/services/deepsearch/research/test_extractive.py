"""The mind without a model: what it searches, reads, answers and cites."""

import pytest

from services.deepsearch.research.extractive import Extractive
from services.deepsearch.research.loop import research
from services.deepsearch.research.mind import Findings, Task
from services.deepsearch.tools import Page
from tests.services.deepsearch.research.small_web import FILMS, Article, Heard, SmallWeb, options
from tests.services.deepsearch.research.world import build

NOISE = tuple(
    Article(f"Note {n}", f"Item {n} of a list that says nothing about anything in particular.")
    for n in range(40)
)


async def found(question: str, *articles: Article, **wanted: object) -> Findings:
    """What it finds in these articles, or in those about films."""
    web = SmallWeb([*(articles or FILMS), *NOISE])
    return await research(Task(question), Extractive(), web, Heard(), options(**wanted))


async def test_two_hops_are_followed() -> None:
    answer = await found("Where was the director of The Amber Road born?")
    assert answer.answer.startswith("Karsund")
    assert {FILMS[0].url, FILMS[1].url} <= set(answer.read_urls)
    assert [citation.url for citation in answer.citations[:2]] == [FILMS[1].url, FILMS[0].url]
    assert answer.finish == "stop"


async def test_three_hops_are_followed() -> None:
    answer = await found(
        "Who is the mayor of the town where the director of The Amber Road was born?"
    )
    assert answer.answer.startswith("Henrik Solvang")
    assert {article.url for article in FILMS[:3]} <= set(answer.read_urls)


async def test_what_was_read_feeds_the_next_query() -> None:
    heard = Heard()
    task = Task("Where was the director of The Amber Road born?")
    await research(task, Extractive(), SmallWeb([*FILMS, *NOISE]), heard, options())
    assert heard.queries[0] == task.question
    assert any("Ottilie Brandvold" in query for query in heard.queries[1:])
    assert any("Ottilie Brandvold" in thought for thought in heard.thoughts)


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Which film came out first, The Amber Road or Winter Ferry?", "The Amber Road"),
        ("Which film is newer, Winter Ferry or The Amber Road?", "Winter Ferry"),
        ("Who was born earlier, Ottilie Brandvold or Paul Adair?", "Ottilie Brandvold"),
    ],
)
async def test_a_comparison_reads_both_and_decides(question: str, right: str) -> None:
    answer = await found(question)
    assert answer.answer.split("\n")[0] == right
    named = {article.url for article in FILMS if article.title in question}
    assert named <= set(answer.read_urls)
    assert named == {citation.url for citation in answer.citations}


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("Were The Amber Road and Winter Ferry released in the same year?", "No"),
        ("Are Ottilie Brandvold and Paul Adair both filmmakers?", "Yes"),
    ],
)
async def test_yes_and_no(question: str, right: str) -> None:
    assert (await found(question)).answer.split("\n")[0] == right


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("When was Ottilie Brandvold born?", "3 May 1911"),
        ("When did Ottilie Brandvold die?", "1987"),
        ("In what year was The Amber Road released?", "1952"),
        ("How many inhabitants does Karsund have?", "41,300 inhabitants"),
        ("How long is the Elve?", "212 km"),
        ("Who directed Winter Ferry?", "Paul Adair"),
    ],
)
async def test_dates_numbers_and_names(question: str, right: str) -> None:
    assert (await found(question)).answer.split("\n")[0] == right


async def test_the_answer_is_in_the_language_of_the_question() -> None:
    articles = (
        Article("Das Boot im Eis", "Das Boot im Eis ist ein Film. Regie führte Jörg Möller."),
        Article("Jörg Möller", "Jörg Möller ist ein Maler. Er wurde in Überlingen geboren."),
    )
    answer = await found("Wo wurde der Regisseur von Das Boot im Eis geboren?", *articles)
    assert {article.url for article in articles} <= set(answer.read_urls)
    answer = await found("Ist Hans Albrecht ein Schiff?", *articles)
    assert "Das Gefundene klärt die Frage nicht" in answer.answer or "nichts" in answer.answer


async def test_a_script_without_blanks_is_searched_and_quoted() -> None:
    articles = (
        Article("红楼梦", "《红楼梦》是一部古典小说。它的作者是曹雪芹。"),
        Article("曹雪芹", "曹雪芹是清代作家，出生于南京。他的祖父是曹寅。"),
    )
    answer = await found("《红楼梦》的作者是谁？", *articles)
    assert articles[0].url in answer.read_urls
    assert answer.citations
    assert "曹雪芹" in answer.answer


async def test_what_is_not_settled_is_said_to_be_so() -> None:
    articles = (Article("Otters", "Otters swim in rivers. They eat fish."),)
    answer = await found("Why do otters juggle stones?", *articles, max_attempts=1)
    assert answer.answer
    assert all(citation.quote in articles[0].text for citation in answer.citations)
    nothing = await found("Qwertz uiop?", *articles)
    assert nothing.answer == "Nothing was found that answers this question."


async def test_an_address_in_the_question_is_read() -> None:
    article = Article("Far away", "The plant makes turbines in Ostby.", host="else.test")
    answer = await found(f"What does the plant of {article.url} make?", *FILMS, article)
    assert answer.read_urls[0] == article.url


async def test_an_attachment_answers() -> None:
    page = Page("attachment:a.txt", "a.txt", "The code word of Monday is heron.", None, False)
    task = Task("What is the code word of Monday?", attachments=(page,))
    answer = await research(task, Extractive(), SmallWeb(NOISE), Heard(), options(max_attempts=1))
    assert "heron" in answer.answer


async def test_long_pages_are_cut_into_passages_by_late_chunking() -> None:
    filler = " ".join(f"Sentence {n} tells of weather and wool." for n in range(400))
    page = Article("Karsund", f"{filler} The mayor of Karsund is Henrik Solvang. {filler}")
    web = SmallWeb([page, *NOISE])
    answer = await research(
        Task("Who is the mayor of Karsund?"), Extractive(), web, Heard(), options()
    )
    assert web.embedded_late == 1
    assert answer.answer.startswith("Henrik Solvang")
    assert all(passage.quote in page.text for passage in answer.passages)
    assert all(len(passage.quote) < 2_000 for passage in answer.passages)


async def test_a_team_answers_a_comparison() -> None:
    answer = await found("Which film came out first, The Amber Road or Winter Ferry?", team_size=2)
    assert answer.answer.startswith("The Amber Road")


async def test_quotes_stand_verbatim_and_supporting_passages_are_read() -> None:
    """A small world; ops/bench/deepsearch.py measures a large one with the real models."""
    world = build(seed=7, passages=400, questions=8)
    articles = [
        Article(f"{p.title}", p.text, host=f"p{n}.test") for n, p in enumerate(world.passages)
    ]
    places = {article.url: place for place, article in enumerate(articles)}
    texts = {article.url: article.text for article in articles}
    complete = at_once = 0
    web = SmallWeb(articles)
    for question in [*world.easy, *world.hard]:
        web.anew()
        at_once += question.support <= set(web.ranked(question.text)[:10])
        answer = await research(Task(question.text), Extractive(), web, Heard(), options())
        complete += question.support <= {places[url] for url in answer.read_urls}
        assert answer.answer
        assert all(citation.quote in texts[citation.url] for citation in answer.citations)
        assert web.account.total_tokens == sum(web.step_tokens.values()) < 100_000
    assert complete >= max(10, at_once + 4)
