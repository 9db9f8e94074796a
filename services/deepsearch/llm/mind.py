"""A mind that asks a model at every turn, for one request. Read this first.

Its answers are checked: a source is a number of a quote that it was shown, so it can cite nothing
else, and JSON that should satisfy a schema is asked for again until it does. It refuses to begin
what the budget cannot bear, but for the last answer, which comes whatever is left.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from services.deepsearch.account import Account
from services.deepsearch.llm.answers import json_in
from services.deepsearch.llm.client import Model, RefusedError, Wish
from services.deepsearch.llm.prompts import (
    ANSWER,
    ANSWER_FORCED,
    DESCRIBE,
    EVALUATE,
    FIELDS,
    PLAN,
    REFLECT,
    Writer,
)
from services.deepsearch.research.mind import (
    Draft,
    Evidence,
    Known,
    Plan,
    Reflection,
    Task,
    Verdict,
)
from services.deepsearch.schema import Schema
from services.deepsearch.tools import BudgetSpent, Tools

SHORT_TOKENS: Final = 700
ANSWER_TOKENS: Final = 3_000
# The least room in which a prompt makes sense, and the least answer.
ROOM_LEAST: Final = 600
ANSWER_LEAST: Final = 300
# Rules and wishes around the room, generously.
OVERHEAD_TOKENS: Final = 500
IMAGE_TOKENS: Final = 1_500
FIELDS_ATTEMPTS: Final = 2
ITEMS_MOST: Final = 4
ITEM_CHARACTERS: Final = 400
THINK_CHARACTERS: Final = 1_000
MARKER: Final = re.compile(r"[ \t]*\[\^?(\d{1,3}(?:\s*,\s*\d{1,3})*)\](?!\()")
CODE: Final = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
HEDGES: Final = re.compile(
    r"\b(i (?:do not|don't) know|cannot (?:be )?(?:answer|determine)|no information)", re.IGNORECASE
)


class LlmMind:
    """One per request: it counts into the request's account."""

    def __init__(self, model: Model, account: Account, writer: Writer, context_tokens: int) -> None:
        self._model = model
        self._account = account
        self._writer = writer
        self._context_tokens = context_tokens

    async def plan(self, task: Task, known: Known, tools: Tools) -> Plan:
        del known, tools
        said = await self._json(task, "plan", PLAN, [self._writer.attachments(task)])
        answer = said.get("answer")
        direct = Draft(answer.strip()) if isinstance(answer, str) and answer.strip() else None
        return Plan(
            queries=_items(said, "queries") or ((task.question[:ITEM_CHARACTERS],)),
            questions=_items(said, "questions"),
            answer=direct if task.schema is None else None,
            think=_think(said),
        )

    async def reflect(self, task: Task, known: Known, tools: Tools) -> Reflection:
        del tools
        parts = [self._writer.asked(known), self._writer.unread(known)]
        said = await self._json(task, "reflect", REFLECT, parts, known.evidence)
        return Reflection(
            queries=_items(said, "queries"),
            gaps=_items(said, "gaps"),
            urls=tuple(known.hits[n - 1].url for n in _numbers(said, "read", len(known.hits))),
            ready=said.get("ready") is True,
            think=_think(said),
        )

    async def answer(self, task: Task, known: Known, tools: Tools, *, force: bool) -> Draft:
        del tools
        if task.schema is not None:
            return await self._fields(task, Schema(task.schema), known, force=force)
        parts = [
            self._writer.attachments(task),
            self._writer.solved(known),
            self._writer.rejected(known),
        ]
        wishes = (ANSWER, ANSWER_FORCED if force else "", self._writer.language(task))
        wish = " ".join(filter(None, wishes))
        text, shown = await self._said(task, "answer", wish, parts, known.evidence, force=force)
        return cited(text, known.evidence[:shown])

    async def evaluate(self, task: Task, draft: Draft, known: Known, tools: Tools) -> Verdict:
        del known, tools
        parts = [self._writer.draft(draft)]
        said = await self._json(task, "evaluate", EVALUATE, parts, draft.citations)
        passed = said.get("passed")
        return Verdict(
            # A model that does not judge leaves it at what the loop itself asks for.
            passed=passed if isinstance(passed, bool) else True,
            why=_word(said, "why"),
            gaps=_items(said, "gaps"),
            think=_think(said),
        )

    async def describe(self, name: str, data_uri: str) -> str | None:
        """What an image shows; None if the model does not take images."""
        content = [
            {"type": "text", "text": DESCRIBE},
            {"type": "image_url", "image_url": {"url": data_uri}},
        ]
        wish = Wish([{"role": "user", "content": content}], SHORT_TOKENS)
        async with self._account.step("llm.describe", name, SHORT_TOKENS + IMAGE_TOKENS) as step:
            try:
                said = await self._model.ask(wish, step, self._account.deadline_s)
            except RefusedError as fault:
                step.outcome = str(fault)
                return None
            return said.text or None

    async def _fields(self, task: Task, schema: Schema, known: Known, *, force: bool) -> Draft:
        """JSON that is valid by the schema; after two attempts whatever came last."""
        wish = FIELDS + orjson.dumps(schema.document).decode()
        parts = [
            self._writer.attachments(task),
            self._writer.solved(known),
            self._writer.language(task),
        ]
        found: dict[str, Any] = {}
        shown, why = 0, ""
        for _ in range(1 if force else FIELDS_ATTEMPTS):
            again = [f"Your last reply was not valid: {why}"] if why else []
            evidence = known.evidence
            text, shown = await self._said(
                task, "answer", wish, parts + again, evidence, force=force
            )
            found = json_in(text) or {}
            if "value" not in found:
                # Some models answer with the value alone.
                found = {"value": found}
            why = await schema.why_not(found["value"]) or ""
            if not why:
                break
        citations = [known.evidence[n - 1] for n in _numbers(found, "sources", shown)]
        value = found["value"]
        return Draft(orjson.dumps(value).decode(), tuple(citations), fields=value)

    async def _json(
        self,
        task: Task,
        kind: str,
        wish: str,
        parts: Sequence[str],
        evidence: Sequence[Evidence] | None = None,
    ) -> dict[str, Any]:
        """The object that the model wrote, or an empty one."""
        text, _ = await self._said(task, kind, wish, parts, evidence, force=False)
        return json_in(text) or {}

    async def _said(
        self,
        task: Task,
        kind: str,
        wish: str,
        parts: Sequence[str],
        evidence: Sequence[Evidence] | None,
        *,
        force: bool,
    ) -> tuple[str, int]:
        """What the model says, and how many quotes it was shown."""
        long = kind == "answer"
        most = ANSWER_TOKENS if long else SHORT_TOKENS
        room = self._room(most, force=force)
        if force:
            most = max(ANSWER_LEAST, min(most, self._account.left_tokens // 3))
        # Counting takes 1 ms for each 10,000 tokens, and there may be many of them.
        prompt = await asyncio.to_thread(self._writer.prompt, task, wish, room, parts, evidence)
        account = self._account
        deadline_s = account.final_deadline_s if force else account.deadline_s
        estimate = room + OVERHEAD_TOKENS + most
        async with account.step(f"llm.{kind}", "", estimate, final=force) as step:
            asked = Wish(prompt.messages, most, stream=long)
            said = await self._model.ask(asked, step, deadline_s)
            return said.text, prompt.shown

    def _room(self, answer_tokens: int, *, force: bool = False) -> int:
        """Tokens for what is quoted; raises BudgetSpent where that would be too little."""
        context = self._context_tokens - answer_tokens - OVERHEAD_TOKENS
        left = self._account.left_tokens if force else self._account.remaining_tokens()
        room = min(context, left - min(answer_tokens, left // 3) - OVERHEAD_TOKENS)
        if room < ROOM_LEAST and not force:
            raise BudgetSpent
        return max(room, ROOM_LEAST)


def cited(text: str, shown: Sequence[Evidence]) -> Draft:
    """The draft with its markers numbered anew in the order of their use; unknown ones go."""
    order: dict[int, int] = {}

    def mark(found: re.Match[str]) -> str:
        numbers = [int(n) for n in found[1].split(",") if 1 <= int(n) <= len(shown)]
        return "".join(f"[^{order.setdefault(n, len(order) + 1)}]" for n in numbers)

    # What stands in code is no marker.
    pieces = CODE.split(text)
    written = "".join(p if at % 2 else MARKER.sub(mark, p) for at, p in enumerate(pieces))
    citations = tuple(shown[n - 1] for n in order)
    return Draft(written, citations, definitive=bool(text) and not HEDGES.search(text[:400]))


def _items(said: dict[str, Any], name: str) -> tuple[str, ...]:
    rows = said.get(name)
    found = [row.strip() for row in rows if isinstance(row, str)] if isinstance(rows, list) else []
    short = [row[:ITEM_CHARACTERS] for row in found if row]
    return tuple(dict.fromkeys(short))[:ITEMS_MOST]


def _numbers(said: dict[str, Any], name: str, most: int) -> list[int]:
    rows = said.get(name)
    found = rows if isinstance(rows, list) else []
    return list(dict.fromkeys(n for n in found if type(n) is int and 1 <= n <= most))


def _word(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    return value.strip()[:ITEM_CHARACTERS] if isinstance(value, str) else ""


def _think(said: dict[str, Any]) -> str:
    value = said.get("think")
    return value.strip()[:THINK_CHARACTERS] if isinstance(value, str) else ""
