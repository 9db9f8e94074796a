"""The tools over the other services: search, reader, rerank, embeddings, each call one step.

What a step costs is what it brought into the research: the text of the hits, of the page, of the
texts ranked or embedded (ops/decisions/deepsearch.md says why). A call that fails costs nothing,
and is put down with its reason; only a spent budget is raised.
"""

import asyncio
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.deepsearch import answers
from services.deepsearch.account import Account, Step
from services.deepsearch.neighbours import Caller, Neighbour, NeighbourError, Reply
from services.deepsearch.research.mind import MindError
from services.deepsearch.tools import Hit, Page
from services.tokenizer import Tokenizer
from services.turnstile import Turnstile

SEARCH_S: Final = 15.0
READ_S: Final = 30.0
MODEL_S: Final = 60.0
# A page beyond this is more than any answer cites; the reader cuts there.
PAGE_TOKENS: Final = 8_000
# The reader's own least.
PAGE_TOKENS_LEAST: Final = 500
RESULTS_MOST: Final = 20
HIT_TOKENS: Final = 120
# A query with more alternatives is refused by providers.
SITES_MOST: Final = 10
# The reader is asked for prose: pictures are of no use here, and links only by their words.
READING: Final = {"retainImages": "none", "retainLinks": "text"}
INDEX_SUBJECT: Final = "o:index"
TEXTS_AT_ONCE: Final = 512
MODEL_CHARACTERS: Final = 32_000


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The four services; any of them may not be there.

    `turnstile`: of the researches whose answers come at once, one goes on per turn of the loop.
    """

    search: Neighbour
    reader: Neighbour
    embeddings: Neighbour
    rerank: Neighbour
    turnstile: Turnstile = field(default_factory=Turnstile)

    async def close(self) -> None:
        """Ends all connections."""
        for each in (self.search, self.reader, self.embeddings, self.rerank):
            await each.close()


class Toolbox:
    """The tools of one request, as the protocol `Tools` promises them."""

    def __init__(
        self,
        neighbours: Neighbours,
        account: Account,
        caller: Caller,
        tokenizer: Tokenizer,
        *,
        provider: str = "",
        language: str = "",
        sites: Sequence[str] = (),
    ) -> None:
        self._near = neighbours
        self._account = account
        self._caller = caller
        self._tokenizer = tokenizer
        self._bound: dict[str, Any] = {}
        # Whether a search was answered, be it by no hits; None until one was tried.
        self.search_works: bool | None = None
        if provider:
            self._bound["provider"] = provider
        if language:
            self._bound["hl"] = language
        if sites:
            # Else the first hits may all be of other hosts, which are not read.
            self._bound["site"] = list(sites[:SITES_MOST])

    def remaining_tokens(self) -> int:
        return self._account.remaining_tokens()

    def spend(self, step: str, prompt_tokens: int, completion_tokens: int) -> None:
        self._account.spend(step, prompt_tokens, completion_tokens)

    async def search(self, query: str, *, results: int) -> Sequence[Hit]:
        count = max(1, min(results, RESULTS_MOST))
        async with self._account.step("search", query, count * HIT_TOKENS) as step:
            fields = {"q": query, "num": count, **self._bound}
            reply = await self._asked(
                self._near.search, "/", fields, SEARCH_S, step, {"X-Respond-With": "no-content"}
            )
            if reply is not None and reply.status == 400 and "provider" in self._bound:
                # Another provider is not what the client asked for.
                step.outcome = answers.why(reply, "refused")
                raise MindError(f"The search was refused: {step.outcome}")
            heard = reply is not None and not answers.is_away(reply)
            self.search_works = bool(self.search_works) or heard
            rows = answers.rows(reply, "data") if reply is not None else []
            hits = [hit for hit in map(answers.hit, rows) if hit is not None][:count]
            if reply is not None and not hits:
                step.outcome = answers.why(reply, "no hits")
            step.cost(sum(self._tokenizer.count(f"{h.title}\n{h.snippet}") for h in hits))
            return hits

    async def read(self, url: str) -> Page | None:
        most = min(PAGE_TOKENS, max(PAGE_TOKENS_LEAST, self.remaining_tokens()))
        async with self._account.step("read", url, most) as step:
            fields = {"url": url, **READING}
            headers = {"X-Max-Tokens": str(most)}
            reply = await self._asked(self._near.reader, "/", fields, READ_S, step, headers)
            page = answers.page(reply, url, most)
            if page is None:
                why = step.outcome if reply is None else answers.why(reply, "nothing to read")
                page = await self._stored(url, most)
                step.outcome = "ok: the index's copy" if page is not None else why
                if page is not None:
                    step.cost(self._tokenizer.count(page.text))
            elif reply is not None:
                step.cost(reply.usage_tokens)
            return page

    async def document(self, name: str, pdf_base64: str) -> Page | str:
        """A PDF that came along, as the reader reads it; or why it cannot."""
        async with self._account.step("attachment", name, PAGE_TOKENS, final=True) as step:
            fields = {"pdf": pdf_base64, **READING}
            reply = await self._asked(self._near.reader, "/", fields, READ_S, step, {})
            page = answers.page(reply, f"attachment:{name}", None)
            if page is None:
                why = step.outcome if reply is None else answers.why(reply, "it has no text")
                step.outcome = why
                return why
            step.cost(reply.usage_tokens if reply is not None else 0)
            return page

    async def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        if not texts:
            return []
        documents = [text[:MODEL_CHARACTERS] for text in texts]
        most = _estimate([query, *documents])
        async with self._account.step("rerank", f"{len(texts)} texts", most) as step:
            fields = {
                "query": query[:MODEL_CHARACTERS],
                "documents": documents,
                "return_documents": False,
                "truncate": True,
            }
            reply = await self._asked(self._near.rerank, "/v1/rerank", fields, MODEL_S, step, {})
            scores = answers.scores(reply, len(texts))
            if reply is not None and scores is None:
                step.outcome = answers.why(reply, "no scores")
            step.cost(reply.usage_tokens if reply is not None else 0)
            # Without a ranking the order of the search stands.
            return scores or [-0.001 * at for at in range(len(texts))]

    async def embed(
        self, texts: Sequence[str], *, task: str, late_chunking: bool = False
    ) -> Sequence[Sequence[float]]:
        found: list[Sequence[float]] = []
        for at in range(0, len(texts), TEXTS_AT_ONCE):
            batch = [text[:MODEL_CHARACTERS] for text in texts[at : at + TEXTS_AT_ONCE]]
            found += await self._embedded(batch, task, late_chunking)
        return found

    async def _embedded(
        self, texts: list[str], task: str, late_chunking: bool
    ) -> Sequence[Sequence[float]]:
        async with self._account.step("embed", f"{len(texts)} texts", _estimate(texts)) as step:
            fields = {
                "input": texts,
                "task": task,
                "late_chunking": late_chunking,
                "embedding_type": "base64",
                "truncate": True,
            }
            near = self._near.embeddings
            reply = await self._asked(near, "/v1/embeddings", fields, MODEL_S, step, {})
            vectors = answers.vectors(reply, len(texts))
            if reply is not None and vectors is None:
                step.outcome = answers.why(reply, "no vectors")
            step.cost(reply.usage_tokens if reply is not None else 0)
            # Texts without vectors are alike to each other; their words still tell them apart.
            return vectors or [array("f", (1.0,))] * len(texts)

    async def _stored(self, url: str, most: int) -> Page | None:
        """The local index's copy of a document that is not on the web."""
        operator = Caller(INDEX_SUBJECT, self._caller.next_id())
        deadline_s = min(time.monotonic() + SEARCH_S, self._account.deadline_s)
        try:
            reply = await self._near.search.post("/stored", {"url": url}, operator, deadline_s)
        except NeighbourError:
            return None
        if reply.status != 200 or not isinstance(reply.document, dict):
            return None
        text = answers.word(reply.document, "content")
        if not text:
            return None
        cut = await asyncio.to_thread(_trimmed, self._tokenizer, text, most)
        title, date = answers.word(reply.document, "title"), answers.word(reply.document, "date")
        return Page(url, title, cut, date or None, cut != text)

    async def _asked(
        self,
        near: Neighbour,
        path: str,
        fields: Mapping[str, Any],
        within_s: float,
        step: Step,
        headers: Mapping[str, str],
    ) -> Reply | None:
        """The answer, or None and the step's outcome says why."""
        deadline_s = min(time.monotonic() + within_s, self._account.deadline_s)
        try:
            reply = await near.post(path, fields, self._caller, deadline_s, headers)
        except NeighbourError as fault:
            step.outcome = str(fault)
            return None
        await self._near.turnstile.through()
        return reply


def _estimate(texts: Sequence[str]) -> int:
    """Tokens that these texts will hardly pass."""
    return sum(len(text) for text in texts) // 3 + 2 * len(texts)


def _trimmed(tokenizer: Tokenizer, text: str, most: int) -> str:
    tokens = tokenizer.encode(text)
    if len(tokens) <= most:
        return text
    return "".join(piece for piece, _ in tokenizer.pieces(tokens[:most]))
