"""The loop keeps its promises whatever the mind says."""

import asyncio
import time

import pytest

from services.deepsearch.research.loop import research
from services.deepsearch.research.mind import (
    Draft,
    MindError,
    Plan,
    Reflection,
    Task,
    Verdict,
)
from services.deepsearch.tools import Page
from tests.services.deepsearch.research.scripted import Scripted, cited
from tests.services.deepsearch.research.small_web import FILMS, Article, Heard, SmallWeb, options

ASKED = Task("Where is Karsund?")


async def test_an_answer_without_references_goes_on() -> None:
    mind = Scripted(
        drafts=(Draft("from memory"), cited("with references")),
        verdicts=(Verdict(passed=True, gaps=("Elve river",)), Verdict(passed=True)),
    )
    found = await research(ASKED, mind, SmallWeb(FILMS), Heard(), options(max_attempts=3))
    assert (found.answer, found.finish) == ("with references", "stop")
    assert mind.answered == 2


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_after_so_many_failed_attempts_it_answers_from_what_it_knows(attempts: int) -> None:
    gaps = [
        Verdict(passed=False, gaps=(query,)) for query in ("Elve", "bees", "Paul Adair", "song")
    ]
    mind = Scripted(drafts=(cited("no"),), verdicts=gaps)
    web = SmallWeb([*FILMS, *(Article(f"Song {n}", f"A song {n}. Bees {n}.") for n in range(30))])
    found = await research(ASKED, mind, web, Heard(), options(max_attempts=attempts))
    assert (found.answer, found.finish) == ("forced", "attempts")
    assert (mind.answered, mind.forced_times) == (attempts, 1)
    assert [len(known.rejected) for known in mind.seen] == list(range(attempts + 1))


async def test_the_last_answer_is_never_empty() -> None:
    mind = Scripted(drafts=(Draft(""),), verdicts=(Verdict(passed=False),), forced=Draft(" "))
    found = await research(ASKED, mind, SmallWeb(FILMS), Heard(), options(max_attempts=1))
    assert found.answer
    assert found.citations[0].quote in {article.text for article in FILMS}


async def test_a_failed_draft_is_better_than_none() -> None:
    mind = Scripted(drafts=(cited("half"),), verdicts=(Verdict(passed=False),), forced=Draft(""))
    found = await research(ASKED, mind, SmallWeb(FILMS), Heard(), options(max_attempts=1))
    assert found.answer == "half"


async def test_where_nothing_is_found_it_says_so_in_the_language_asked_for() -> None:
    for task, word in (
        (ASKED, "Nothing was found"),
        (Task("Wo liegt Karsund?"), "nichts gefunden"),
        (Task("Where is Karsund?", language="fr"), "Rien n'a été trouvé"),
    ):
        mind = Scripted(drafts=(Draft(""),), verdicts=(Verdict(passed=False),))
        found = await research(task, mind, SmallWeb(()), Heard(), options())
        assert word in found.answer
        assert (found.finish, found.read_urls, found.citations) == ("nothing", (), ())


async def test_a_direct_answer_needs_no_search_unless_it_is_not_wanted() -> None:
    mind = Scripted(plans=Plan(answer=Draft("4")))
    web = SmallWeb(FILMS)
    assert (await research(Task("2+2?"), mind, web, Heard(), options())).answer == "4"
    assert web.queries == []
    mind = Scripted(plans=Plan(answer=Draft("4")), drafts=(cited("four"),))
    found = await research(Task("2+2?"), mind, web, Heard(), options(no_direct_answer=True))
    assert found.answer == "four"
    assert web.queries == ["2+2?"]


async def test_a_spent_budget_ends_in_an_answer() -> None:
    endless = [Reflection(queries=(f"Karsund {n}",)) for n in range(20)]
    web = SmallWeb(FILMS, budget=1_000, search_tokens=400)
    mind = Scripted(reflections=endless)
    found = await research(ASKED, mind, web, Heard(), options())
    assert (found.answer, found.finish) == ("forced", "budget")
    assert web.account.total_tokens < 1_000 + web.dearest_tokens


async def test_at_the_deadline_it_answers_from_what_it_knows() -> None:
    endless = [Reflection(queries=(f"Karsund {n}",)) for n in range(50)]
    web = SmallWeb(
        [*FILMS, *(Article(f"Karsund {n}", "Karsund.") for n in range(99))], delay_s=0.05
    )
    began_s = time.monotonic()
    found = await research(
        ASKED, Scripted(reflections=endless), web, Heard(), options(deadline_s=began_s + 0.3)
    )
    assert (found.answer, found.finish) == ("forced", "deadline")
    assert web.under_way == 0


async def test_who_goes_away_takes_all_inner_work_with_him() -> None:
    web = SmallWeb(FILMS, delay_s=30)
    plan = Plan(queries=("Karsund", "Elve", "bees"))
    work = asyncio.create_task(research(ASKED, Scripted(plan), web, Heard(), options()))
    await web.busy(3)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (web.under_way, web.cancelled) == (0, 3)


async def test_a_mind_that_fails_is_told_to_the_caller() -> None:
    class Broken(Scripted):
        async def reflect(self, *_: object) -> Reflection:
            raise MindError("no model")

    with pytest.raises(MindError, match="no model"):
        await research(ASKED, Broken(), SmallWeb(FILMS), Heard(), options())


async def test_a_team_shares_pages_and_budget_and_tells_the_whole_what_it_found() -> None:
    plan = Plan(questions=("Who is Paul Adair?", "Who is Ottilie Brandvold?", "What is glass?"))
    mind = Scripted(plan, drafts=(cited("found"),))
    web = SmallWeb(FILMS)
    found = await research(
        Task("Karsund and glass?"), mind, web, Heard(), options(team_size=2, max_attempts=1)
    )
    assert mind.questions == ["Karsund and glass?", *plan.questions[:2]]
    assert [solved.question for solved in mind.seen[-1].solved] == list(plan.questions[:2])
    assert len(web.reads) == len(set(web.reads)) == len(found.read_urls)
    assert web.account.total_tokens == sum(web.step_tokens.values())


async def test_each_of_a_team_has_its_own_attempts() -> None:
    plan = Plan(questions=("Who is Paul Adair?", "What is glass?"))
    mind = Scripted(plan, drafts=(cited("no"),), verdicts=(Verdict(passed=False),))
    await research(
        Task("Karsund?"), mind, SmallWeb(FILMS), Heard(), options(team_size=2, max_attempts=1)
    )
    assert (mind.answered, mind.forced_times) == (3, 1)


async def test_unwanted_hostnames_are_neither_read_nor_shown() -> None:
    web = SmallWeb(
        [
            Article("Karsund", "Karsund is a town.", host="a.good.test"),
            Article("Karsund two", "Karsund is a harbour.", host="www.bad.test"),
            Article("Karsund three", "Karsund is old.", host="notgood.test"),
        ]
    )
    mind = Scripted(Plan(urls=("https://bad.test/x", "ftp://good.test/y")), drafts=(cited("it"),))
    found = await research(ASKED, mind, web, Heard(), options(bad_hostnames=("bad.test",)))
    assert sorted(found.read_urls) == [
        "https://a.good.test/Karsund",
        "https://notgood.test/Karsund_three",
    ]
    found = await research(
        ASKED, Scripted(drafts=(cited("it"),)), web, Heard(), options(only_hostnames=("good.test",))
    )
    assert found.visited_urls == ("https://a.good.test/Karsund",)


async def test_preferred_hostnames_are_read_first() -> None:
    pages = [Article(f"Karsund {n}", "Karsund is a town.", host=f"h{n}.test") for n in range(9)]
    web = SmallWeb(pages, page_tokens=3_000)
    await research(
        ASKED, Scripted(drafts=(cited("it"),)), web, Heard(), options(boost_hostnames=("h8.test",))
    )
    assert web.reads[0] == "https://h8.test/Karsund_8"


async def test_no_more_addresses_and_references_than_asked_for() -> None:
    draft = Draft("it", tuple(cited("", f"https://wiki.test/{n}").citations[0] for n in range(5)))
    found = await research(
        ASKED,
        Scripted(drafts=(draft,)),
        SmallWeb(FILMS),
        Heard(),
        options(max_returned_urls=1, max_annotations=2),
    )
    assert (len(found.visited_urls), len(found.citations)) == (1, 2)
    assert found.url_count > 1
    strict = options(min_annotation_relevance=0.95)
    found = await research(ASKED, Scripted(drafts=(draft,)), SmallWeb(FILMS), Heard(), strict)
    assert found.citations == ()


async def test_a_page_that_cannot_be_read_is_not_tried_again() -> None:
    urls = frozenset(article.url for article in FILMS)
    web = SmallWeb(FILMS, unreadable=urls)
    mind = Scripted(
        reflections=[Reflection(queries=("Elve",)), Reflection(queries=("bees",))],
        drafts=(Draft(""),),
        verdicts=(Verdict(passed=False),),
    )
    found = await research(ASKED, mind, web, Heard(), options())
    assert len(web.reads) == len(set(web.reads))
    assert found.read_urls == ()


async def test_attachments_are_known_and_are_no_web_pages() -> None:
    page = Page("attachment:note.txt", "note.txt", "Karsund lies on the moon.", None, False)
    mind = Scripted(drafts=(cited("on the moon", page.url, page.text),))
    task = Task("Where is Karsund?", attachments=(page,))
    found = await research(task, mind, SmallWeb(()), Heard(), options())
    assert mind.seen[0].pages[0].text == page.text
    assert (found.answer, found.citations, found.read_urls) == ("on the moon", (), ())


async def test_the_client_sees_queries_addresses_and_thoughts() -> None:
    heard = Heard()
    mind = Scripted(Plan(queries=("Karsund",), think="First."), drafts=(cited("it"),))
    found = await research(ASKED, mind, SmallWeb(FILMS), heard, options())
    assert (heard.queries, heard.thoughts) == (["Karsund"], ["First."])
    assert set(heard.urls) == set(found.read_urls)
