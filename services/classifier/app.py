"""The classifier's HTTP side: train, classify, and the calls of owners. Read this first.

It refuses in the envelope of the api. hosts, and never charges for a refusal. What PostgreSQL
cannot do now is 503 with Retry-After; zero-shot does not need it and goes on.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import orjson
from aiohttp import web

from services import api_refusals, serving, wire
from services.api_refusals import Refusal
from services.classifier import answers
from services.classifier.ask import (
    FewShot,
    not_found,
    read_classifier_id,
    read_classify,
    read_train,
)
from services.classifier.classifying import Scorer
from services.classifier.cores import one_core
from services.classifier.embedding import Embedder, EngineEmbedder
from services.classifier.store import ROLE, Store
from services.classifier.training import Trainer
from services.classifier.uses import LOGGER, Uses
from services.fields import FieldError, Fields
from services.models import door
from services.models.budget import Budget
from services.models.door import Answer
from services.models.engine import Engine
from services.models.fetching import PictureFetcher
from services.models.hosting import Part, alone
from services.postgres import Postgres, UnavailableError, load_queries
from services.settings import Settings

TRAIN: Final = "/v1/train"
CLASSIFY: Final = "/v1/classify"
CLASSIFIERS: Final = "/v1/classifiers"
KEY_SUBJECT: Final = "k:"

T = TypeVar("T")
Work = Callable[[web.Request, Fields], Awaitable[Answer]]


class Classifier:
    """A part of an api. process: takes the paths above. `run` surrounds its life."""

    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._store = store
        self._uses = Uses(store)
        self._trainer = Trainer(embedder, store)
        self._scorer = Scorer(embedder, store, self._uses)

    async def run(self, _app: web.Application) -> AsyncIterator[None]:
        """Writes uses while the process serves, and the last of them at the end."""
        one_core()
        writing = asyncio.create_task(self._uses.run())
        yield
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await self._trainer.stop()
        await self._scorer.stop()
        await self._uses.write_if_possible()
        await self._store.close()

    def takes(self, path: str) -> bool:
        return path.rstrip("/") in (TRAIN, CLASSIFY, CLASSIFIERS) or path.startswith(
            CLASSIFIERS + "/"
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path == TRAIN:
            return await door.post(request, _bound(request, self._train))
        if path == CLASSIFY:
            return await door.post(request, _bound(request, self._classify))
        name = path.removeprefix(CLASSIFIERS).strip("/")
        methods = "GET, HEAD, DELETE" if name else "GET, HEAD"
        if request.method not in methods.split(", "):
            refusal = api_refusals.by_status(405, f"{request.method} is not a method of this path")
            return door.refuse(request, refusal, allow=methods)
        try:
            body = await _available(self._owned(request, name))
        except FieldError as fault:
            return door.refuse(request, fault.refusal)
        headers = {wire.USAGE_TOKENS: "0"}
        return web.Response(body=body, content_type=wire.JSON_TYPE, headers=headers)

    async def _train(self, request: web.Request, fields: Fields) -> Answer:
        owner_key = _owner_key(request)
        return await self._trainer.train(owner_key, read_train(fields), Budget.of(request))

    async def _classify(self, request: web.Request, fields: Fields) -> Answer:
        asked, budget = read_classify(fields), Budget.of(request)
        if isinstance(asked, FewShot):
            return await self._scorer.few_shot(_caller_key(request), asked, budget)
        return await self._scorer.zero_shot(asked, budget)

    async def _owned(self, request: web.Request, name: str) -> bytes:
        """The answer of one of the calls that only an owner has."""
        owner_key = _owner_key(request)
        if not name:
            # So that an owner who has just classified sees it counted.
            await self._uses.write()
            return answers.listed(await self._store.list(owner_key))
        classifier_id = read_classifier_id(name)
        if request.method == "DELETE":
            if not await self._store.delete(classifier_id, owner_key):
                raise not_found(classifier_id)
            return orjson.dumps({"classifier_id": str(classifier_id), "deleted": True})
        await self._uses.write()
        view = await self._store.view(classifier_id, owner_key)
        if view is None:
            raise not_found(classifier_id)
        return orjson.dumps(answers.viewed(view))


def parts(engine: Engine, pictures: PictureFetcher, settings: Settings) -> Classifier:
    """The classifier on this engine and the database of the settings."""
    dsn = settings.database_url
    postgres = Postgres(dsn, role=ROLE, application_name="sluice-classifier") if dsn else None
    return Classifier(
        EngineEmbedder(engine, pictures), Store(postgres, load_queries("classifiers"))
    )


def build(settings: Settings) -> web.Application:
    """The classifier as an application of its own."""
    made: list[Classifier] = []

    def make(engine: Engine, pictures: PictureFetcher) -> Sequence[Part]:
        made.append(parts(engine, pictures, settings))
        return made

    app = alone(settings, make)
    app.cleanup_ctx.append(made[0].run)
    return app


def _bound(request: web.Request, work: Work) -> door.Work:
    async def bound(fields: Fields) -> Answer:
        return await _available(work(request, fields))

    return bound


async def _available(work: Awaitable[T]) -> T:
    """What `work` gives. Raises FieldError also where PostgreSQL is away."""
    try:
        return await work
    except UnavailableError as fault:
        logging.getLogger(LOGGER).warning("PostgreSQL is away: %s", fault)
        message = "Classifiers cannot be reached at the moment; please try again"
        raise FieldError(Refusal(503, "SERVICE_UNAVAILABLE", message)) from fault


def _caller_key(request: web.Request) -> int | None:
    """The key that the gateway vouches for; None for a caller without one."""
    subject = request[serving.SIGNED].subject
    number = subject.removeprefix(KEY_SUBJECT)
    if number == subject or not (number.isascii() and number.isdigit() and len(number) < 20):
        return None
    return int(number)


def _owner_key(request: web.Request) -> int:
    """Raises FieldError for a caller without a key: he cannot own."""
    key = _caller_key(request)
    if key is None:
        raise FieldError(Refusal(401, "AUTH_REQUIRED", "A key is needed to own classifiers"))
    return key
