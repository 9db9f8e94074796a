"""The tools over real services: what they bring, what that costs, and how they fail."""

import time
from collections.abc import AsyncIterator, Mapping
from uuid import uuid4

import pytest

from services.deepsearch.account import Account
from services.deepsearch.neighbours import Caller, Neighbour
from services.deepsearch.toolbox import Neighbours, Toolbox
from services.deepsearch.tools import BudgetSpent
from services.tokenizer import DEFAULT, Tokenizer
from tests.services.asking import SECRET
from tests.services.deepsearch.wiki import KEEPER, PAGES, SHELVED
from tests.services.site import Site


def _near(urls: Mapping[str, str]) -> Neighbours:
    def one(name: str) -> Neighbour:
        return Neighbour(name, urls.get(f"SLUICE_SERVICE_{name.upper()}_URL", ""), SECRET.encode())

    return Neighbours(one("search"), one("reader"), one("embeddings"), one("rerank"))


class Bench:
    """A toolbox and its account."""

    def __init__(self, near: Neighbours, budget: int = 100_000) -> None:
        self.account = Account(budget, time.monotonic() + 60)
        caller = Caller("k:1", str(uuid4()))
        self.tools = Toolbox(near, self.account, caller, Tokenizer(DEFAULT))

    @property
    def last(self) -> tuple[str, int, str]:
        """Kind, tokens and outcome of the last step."""
        step = self.account.steps[-1]
        return step.kind, step.tokens, step.outcome


@pytest.fixture
async def bench(neighbours: Mapping[str, str]) -> AsyncIterator[Bench]:
    near = _near(neighbours)
    yield Bench(near)
    await near.close()


@pytest.fixture
async def alone() -> AsyncIterator[Bench]:
    """Tools without any service behind them."""
    near = _near({"SLUICE_SERVICE_READER_URL": "http://127.0.0.1:9"})
    yield Bench(near)
    await near.close()


async def test_search_costs_the_text_of_its_hits(bench: Bench) -> None:
    hits = await bench.tools.search("lock at Fallenmoor", results=5)
    assert 0 < len(hits) <= 5
    counted = sum(bench.tools._tokenizer.count(f"{h.title}\n{h.snippet}") for h in hits)
    assert bench.last == ("search", counted, "ok")
    assert counted < 1_000


async def test_search_without_hits_is_empty_and_free(bench: Bench) -> None:
    assert list(await bench.tools.search("zzxqj vvkkp", results=5)) == []
    kind, tokens, outcome = bench.last
    assert (kind, tokens) == ("search", 0)
    assert "No search results" in outcome


async def test_page_costs_its_own_tokens(bench: Bench, wiki: Site) -> None:
    page = await bench.tools.read(f"{wiki.origin}/wiki/ada-quill")
    assert page is not None
    assert PAGES["ada-quill"][1] in page.text
    assert page.title == "Ada Quill"
    assert not page.truncated
    _, tokens, outcome = bench.last
    assert tokens == pytest.approx(bench.tools._tokenizer.count(page.text), abs=12)
    assert outcome == "ok"


async def test_page_that_cannot_be_read_is_none_with_its_reason_and_free(
    bench: Bench, wiki: Site
) -> None:
    assert await bench.tools.read(f"{wiki.origin}/wiki/unheard-of") is None
    assert await bench.tools.read("http://10.0.0.1/") is None
    for step in bench.account.steps:
        assert step.tokens == 0
        assert step.outcome[:3].isdigit()


async def test_document_that_only_the_index_has_is_read_from_there(bench: Bench) -> None:
    page = await bench.tools.read(SHELVED)
    assert page is not None
    assert page.text == KEEPER
    assert page.title == "The keeper"
    assert bench.account.total_tokens == bench.tools._tokenizer.count(KEEPER)


async def test_vectors_and_scores_come_in_the_order_of_their_texts(bench: Bench) -> None:
    texts = ["The lock was built in 1788.", "Glass is made of sand.", "Boats wait at the lock."]
    scores = await bench.tools.rerank("When was the lock built?", texts)
    assert max(range(3), key=lambda at: scores[at]) == 0
    assert bench.last[1] > 0
    vectors = await bench.tools.embed(texts, task="retrieval.passage", late_chunking=True)
    assert {len(vector) for vector in vectors} == {384}
    assert sum(value * value for value in vectors[0]) == pytest.approx(1, abs=1e-3)
    assert bench.last[1] > 0
    assert list(await bench.tools.embed([], task="retrieval.query")) == []
    assert list(await bench.tools.rerank("?", [])) == []


async def test_services_that_are_away_cost_nothing_and_break_nothing(alone: Bench) -> None:
    tools = alone.tools
    assert list(await tools.search("anything", results=3)) == []
    assert await tools.read("http://127.0.0.1:1/") is None
    assert len(await tools.rerank("?", ["a", "b"])) == 2
    assert len(await tools.embed(["a", "b"], task="retrieval.query")) == 2
    assert alone.account.total_tokens == 0
    outcomes = [step.outcome for step in alone.account.steps]
    assert any("cannot be reached" in outcome for outcome in outcomes)
    assert any("no search is deployed" in outcome for outcome in outcomes)


async def test_nothing_begins_once_the_budget_is_spent(neighbours: Mapping[str, str]) -> None:
    near = _near(neighbours)
    bench = Bench(near, budget=10)
    bench.tools.spend("elsewhere", 8, 2)
    with pytest.raises(BudgetSpent):
        await bench.tools.search("x", results=1)
    with pytest.raises(BudgetSpent):
        await bench.tools.read("http://127.0.0.1:1/")
    assert bench.tools.remaining_tokens() == 0
    await near.close()
