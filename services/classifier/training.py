"""Trains: reads a version, learns from examples, writes where that version still stands.

It refuses what must not be: a seventeenth classifier or label, an update of another's classifier,
two updates at the same time. No transaction is open while vectors are computed.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import numpy as np

from services.api_refusals import Refusal
from services.classifier import answers
from services.classifier.ask import MOST_CLASSIFIERS, Train, check_classes, not_found
from services.classifier.embedding import Embedder, Vectors
from services.classifier.learning import learn
from services.classifier.store import Learned, Store, Trained, Written
from services.fields import FieldError
from services.models.budget import Budget
from services.models.door import Answer
from services.models.faults import ModelUnavailable, UnknownModel


class Trainer:
    """Creates classifiers and updates them."""

    def __init__(self, embedder: Embedder, store: Store) -> None:
        self._embedder = embedder
        self._store = store
        # One at a time: a training may take a core for a second, and there are others who wait.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="learn")

    async def stop(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def train(self, owner_key: int, asked: Train, budget: Budget) -> Answer:
        """Raises FieldError, ModelFault, UnavailableError."""
        if asked.classifier_id is None:
            return await self._create(owner_key, asked, budget)
        return await self._update(owner_key, asked, budget)

    async def _create(self, owner_key: int, asked: Train, budget: Budget) -> Answer:
        assert asked.model is not None, "a request for a new classifier names its model"
        if await self._store.count(owner_key) >= MOST_CLASSIFIERS:
            raise _too_many()
        embedded = await self._embedded(asked, asked.model, budget)
        learned = await self._learn(asked, embedded, None)
        classifier_id = uuid4()
        dimension = embedded.vectors.shape[1]
        made = await self._store.create(
            classifier_id,
            owner_key,
            asked.access,
            embedded.model,
            dimension,
            learned,
            MOST_CLASSIFIERS,
        )
        if not made:
            raise _too_many()
        return _answer(classifier_id, asked, embedded)

    async def _update(self, owner_key: int, asked: Train, budget: Budget) -> Answer:
        classifier_id = asked.classifier_id
        assert classifier_id is not None, "a request for an update names its classifier"
        before = await self._store.load(classifier_id, owner_key)
        if before is None:
            raise not_found(classifier_id)
        check_classes(len({*before.labels, *asked.distinct}))
        try:
            embedded = await self._embedded(asked, before.model, budget)
        except UnknownModel:
            raise model_gone() from None
        if embedded.vectors.shape[1] != before.dimension_count:
            raise model_gone()
        learned = await self._learn(asked, embedded, before)
        written = await self._store.update(classifier_id, owner_key, before.version, learned)
        if written is Written.GONE:
            raise not_found(classifier_id)
        if written is Written.CHANGED:
            message = f"Classifier '{classifier_id}' is currently being modified"
            raise FieldError(Refusal(409, "CONFLICT_RESOURCE_BUSY", message))
        return _answer(classifier_id, asked, embedded)

    async def _embedded(self, asked: Train, model: str, budget: Budget) -> Vectors:
        items = await self._embedder.opened(asked.items, model)
        if budget.is_set:
            counted = await self._embedder.count(items, model)
            budget.check(None if counted is None else counted * asked.iterations)
        found = await self._embedder.embed(items, model)
        budget.check(_cost(asked, found))
        if not np.isfinite(found.vectors).all():
            # Once learned, it could not be unlearned.
            raise ModelUnavailable(found.model, "it gave vectors that are no numbers")
        return found

    async def _learn(self, asked: Train, embedded: Vectors, before: Trained | None) -> Learned:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread,
            learn,
            None if before is None else before.statistics,
            () if before is None else before.labels,
            embedded.vectors,
            asked.labels,
            asked.iterations,
        )


def model_gone() -> FieldError:
    """Its name stays unsaid: who uses a public classifier does not see its settings."""
    message = "The model of this classifier is no longer deployed as it was; please train anew"
    return FieldError(Refusal(400, "INPUT_MODEL_NOT_FOUND", message))


def _too_many() -> FieldError:
    message = f"At most {MOST_CLASSIFIERS} classifiers per key; please delete one first"
    return FieldError(Refusal(403, "AUTHZ_RESOURCE_LIMIT_EXCEEDED", message))


def _answer(classifier_id: object, asked: Train, embedded: Vectors) -> Answer:
    tokens = _cost(asked, embedded)
    return Answer(answers.trained(classifier_id, len(asked.items), tokens), tokens)


def _cost(asked: Train, embedded: Vectors) -> int:
    return sum(embedded.tokens) * asked.iterations
