"""The reranker's HTTP side: POST /v1/rerank. Read this first.

It refuses in the envelope of the api. hosts, and never charges for a refusal.
"""

import asyncio
from functools import partial
from typing import Any, Final

import numpy as np
import orjson
from aiohttp import web

from services.fields import Fields
from services.models import door
from services.models.budget import Budget
from services.models.engine import Engine
from services.models.fetching import PictureFetcher
from services.models.hosting import Part, alone
from services.models.listing import Listing
from services.models.local import Passages
from services.models.windows import Floats, normalised
from services.rerank import fusion, lexical, words
from services.rerank.ask import Ask, read
from services.settings import Settings

PATHS: Final = frozenset({"/v1/rerank", "/v1/rerank/"})
# Ranked on the loop up to here: about a millisecond of words and numbers.
SMALL_CHARACTERS: Final = 4_096


class Rerank:
    """Orders documents by what the engine and their words say."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def takes(self, path: str) -> bool:
        return path in PATHS

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await door.post(request, partial(self._work, Budget.of(request)))

    async def _work(self, budget: Budget, fields: Fields) -> door.Answer:
        ask = read(fields)
        model = self._engine.resolve(ask.model)
        if budget.is_set:
            budget.check(await self._counted(ask, model))
        query = await self._engine.embed([ask.query], model=model, truncate=ask.truncate)
        found = await self._engine.passages(ask.texts, model=model, truncate=ask.truncate)
        tokens = sum(query.tokens) + sum(found.tokens)
        budget.check(tokens)
        arguments = (ask, model, tokens, query.vectors[0], found)
        if len(ask.query) + sum(map(len, ask.texts)) <= SMALL_CHARACTERS:
            return door.Answer(_written(*arguments), tokens)
        return door.Answer(await asyncio.to_thread(_written, *arguments), tokens)

    async def _counted(self, ask: Ask, model: str) -> int | None:
        """What it will cost; None where that is only known afterwards."""
        query = await self._engine.count([ask.query], model=model, truncate=ask.truncate)
        texts = await self._engine.count(ask.texts, model=model, truncate=ask.truncate)
        return None if query is None or texts is None else query + texts


def parts(engine: Engine, _pictures: PictureFetcher) -> list[Part]:
    """What this service answers."""
    return [Rerank(engine), Listing(engine)]


def build(settings: Settings) -> web.Application:
    """The reranker as an application of its own."""
    return alone(settings, parts)


def _written(ask: Ask, model: str, tokens: int, query: Floats, found: Passages) -> bytes:
    scores = _scores(ask, query, found)
    order = np.argsort(-scores, kind="stable")[: ask.most]
    answer = {
        "model": model,
        "object": "list",
        "usage": {"total_tokens": tokens, "prompt_tokens": tokens},
        "results": [_result(ask, int(at), float(scores[at])) for at in order],
    }
    return orjson.dumps(answer)


def _scores(ask: Ask, query: Floats, found: Passages) -> Floats:
    windows = normalised(found.vectors)
    dense = fusion.best_windows(query, windows, found.owners, len(ask.texts))
    return fusion.scores(
        dense, lexical.shares(ask.query, ask.texts), words.familiar_share(ask.query)
    )


def _result(ask: Ask, at: int, score: float) -> dict[str, Any]:
    result: dict[str, Any] = {"index": at}
    if ask.return_documents:
        result["document"] = ask.documents[at]
    result["relevance_score"] = round(score, 6)
    return result
