"""The embeddings' HTTP side: POST /v1/embeddings, and the list of models. Read this first.

It refuses in the envelope of the api. hosts, and never charges for a refusal.
"""

import asyncio
from functools import partial
from typing import Final

from aiohttp import web

from services.embeddings.ask import read
from services.embeddings.shape import body
from services.fields import Fields
from services.models import door
from services.models.budget import Budget
from services.models.engine import Engine
from services.models.fetching import PictureFetcher
from services.models.hosting import Part, alone
from services.models.listing import Listing
from services.settings import Settings

PATHS: Final = frozenset({"/v1/embeddings", "/v1/embeddings/"})
# Written on the loop up to here: half a millisecond.
FEW_ROWS: Final = 32


class Embeddings:
    """Answers requests with vectors of the engine."""

    def __init__(self, engine: Engine, pictures: PictureFetcher) -> None:
        self._engine = engine
        self._pictures = pictures

    def takes(self, path: str) -> bool:
        return path in PATHS

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await door.post(request, partial(self._work, Budget.of(request)))

    async def _work(self, budget: Budget, fields: Fields) -> door.Answer:
        ask = read(fields, self._engine.dimension)
        self._engine.check_pictures(ask.items, ask.model)
        items = await self._pictures.opened(ask.items)
        how = {"truncate": ask.truncate, "late_chunking": ask.late_chunking}
        if budget.is_set:
            budget.check(await self._engine.count(items, model=ask.model, **how))
        found = await self._engine.embed(items, model=ask.model, **how)
        tokens = sum(found.tokens)
        budget.check(tokens)
        if len(items) <= FEW_ROWS:
            written = body(found, ask)
        else:
            written = await asyncio.to_thread(body, found, ask)
        return door.Answer(written, tokens)


def parts(engine: Engine, pictures: PictureFetcher) -> list[Part]:
    """What this service answers."""
    return [Embeddings(engine, pictures), Listing(engine)]


def build(settings: Settings) -> web.Application:
    """The embeddings as an application of their own."""
    return alone(settings, parts)
