"""One request at work: its account, its tools, its mind; what comes out is always an outcome.

It refuses to fail otherwise: a model that is away, a deadline, a bug are an outcome of kind error,
which is void. What the client sees while it thinks goes to a `Progress`.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from services.deepsearch import attachments as files
from services.deepsearch.account import Account
from services.deepsearch.ask import Ask
from services.deepsearch.attachments import Attachment
from services.deepsearch.forms import Outcome
from services.deepsearch.llm.client import Model
from services.deepsearch.llm.mind import LlmMind
from services.deepsearch.llm.prompts import Writer
from services.deepsearch.neighbours import Caller
from services.deepsearch.research.asking import in_context
from services.deepsearch.research.extractive import Extractive
from services.deepsearch.research.loop import NOTHING, research
from services.deepsearch.research.mind import Findings, Mind, MindError, Options, Task
from services.deepsearch.schema import Schema
from services.deepsearch.toolbox import Neighbours, Toolbox
from services.deepsearch.tools import BudgetSpent, Page, Progress
from services.deepsearch_settings import DeepsearchSettings
from services.tokenizer import Tokenizer

LOGGER: Final = "sluice.deepsearch"
# Of a budget, what is kept for the answer that a model writes at the end.
KEPT_SHARE: Final = 4
KEPT_MOST_TOKENS: Final = 16_000
FAILED: Final = "The research failed; the request is not charged"
TOO_LATE: Final = "The research took too long; the request is not charged"
NO_SEARCH: Final = "No search provider answered; the request is not charged"
IN_VAIN: Final = "The budget is too small for any answer; the request is not charged"


@dataclass(frozen=True, slots=True)
class Means:
    """What all requests share. `model` None: the extractive mind answers."""

    neighbours: Neighbours
    tokenizer: Tokenizer
    model: Model | None
    knobs: DeepsearchSettings


class Session:
    """One request; `prepare` may refuse it, `work` answers it."""

    def __init__(self, means: Means, ask: Ask, caller: Caller) -> None:
        self._means = means
        self._ask = ask
        kept = min(ask.budget_tokens // KEPT_SHARE, KEPT_MOST_TOKENS) if means.model else 0
        self.account = Account(
            ask.budget_tokens,
            time.monotonic() + means.knobs.timeout_ms / 1_000,
            kept_tokens=kept,
        )
        self._tools = Toolbox(
            means.neighbours,
            self.account,
            caller,
            means.tokenizer,
            provider=ask.provider,
            language=ask.search_language,
            sites=ask.only_hostnames,
        )
        self._pages: list[Page] = []
        self._images: Sequence[Attachment] = ()

    async def prepare(self) -> None:
        """Looks into the attachments. Raises AskError."""
        sees = self._means.model is not None
        opened = await files.opened(self._ask.conversation.files, sees=sees)
        self._pages = await files.pages(opened, self._tools)
        self._images = [each for each in opened if each.is_image]

    async def work(self, progress: Progress) -> Outcome:
        """The answer, or an error that says what a client may know."""
        try:
            async with asyncio.timeout(self.account.final_deadline_s - time.monotonic()):
                return await self._researched(progress)
        except MindError as fault:
            return _error(str(fault))
        except BudgetSpent:
            return _error(IN_VAIN)
        except TimeoutError:
            return _error(TOO_LATE)
        except Exception:
            # The last resort: the client has perhaps seen half a stream, which must end properly.
            logging.getLogger(LOGGER).exception("a research failed")
            return _error(FAILED)

    async def _researched(self, progress: Progress) -> Outcome:
        ask = self._ask
        mind = self._mind()
        pages = [*self._pages, *await self._described(mind, progress)]
        task = Task(
            question=self._question(mind),
            history=ask.conversation.history,
            attachments=tuple(pages),
            language=ask.language,
            schema=None if ask.schema is None else ask.schema.document,
        )
        options = Options(
            deadline_s=self.account.deadline_s,
            max_attempts=ask.max_attempts,
            team_size=ask.team_size,
            no_direct_answer=ask.no_direct_answer,
            max_returned_urls=ask.max_returned_urls,
            boost_hostnames=ask.boost_hostnames,
            bad_hostnames=ask.bad_hostnames,
            only_hostnames=ask.only_hostnames,
            max_annotations=ask.max_annotations,
            min_annotation_relevance=ask.min_annotation_relevance,
        )
        found = await research(task, mind, self._tools, progress, options)
        self.account.note("finish", "", found.finish)
        if found.finish == NOTHING and self._tools.search_works is False:
            return _error(NO_SEARCH)
        return await self._shaped(found)

    def _mind(self) -> Mind:
        model = self._means.model
        if model is None:
            return Extractive()
        writer = Writer(secrets.token_hex(4), datetime.now(UTC).date(), model.count)
        return LlmMind(model, self.account, writer, self._means.knobs.llm_context_tokens)

    def _question(self, mind: Mind) -> str:
        """As it was asked; a mind that follows no conversation gets what `it` stands for."""
        talk = self._ask.conversation
        if isinstance(mind, LlmMind):
            return talk.question
        earlier = [turn.text for turn in talk.history if turn.role == "user"]
        return in_context(talk.question, earlier[-1] if earlier else "")

    async def _described(self, mind: Mind, progress: Progress) -> list[Page]:
        """Images in words; where the model sees none, a page that says so."""
        found = []
        for image in self._images:
            text = None
            if isinstance(mind, LlmMind):
                progress.think(f"Looking at {image.name}.")
                text = await mind.describe(image.name, image.data_uri())
            if text is None:
                text = f"{image.name} could not be looked at: the model takes no images."
                progress.think(text)
            found.append(Page(f"attachment:{image.name}", image.name, text, None, False))
        return found

    async def _shaped(self, found: Findings) -> Outcome:
        schema = self._ask.schema
        if schema is None:
            return _outcome("text", found.answer, found)
        value = found.fields if found.fields is not None else _parsed(found.answer)
        why = await _why_not(schema, value)
        if why is not None:
            return _error(f"No answer is valid by the schema: {why}")
        return _outcome("json", orjson.dumps(value).decode(), found)


async def _why_not(schema: Schema, value: Any) -> str | None:
    return "there is none" if value is None else await schema.why_not(value)


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _outcome(kind: str, content: str, found: Findings) -> Outcome:
    return Outcome(
        kind,
        content,
        found.finish,
        found.citations,
        found.visited_urls,
        found.read_urls,
        found.url_count,
    )


def _error(message: str) -> Outcome:
    return Outcome("error", message, "error")
