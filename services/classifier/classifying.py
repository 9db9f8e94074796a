"""Classifies: inputs by a trained classifier, or by labels that come with the request.

It refuses classifiers that the caller may not use, and answers too long for the gateway. The
arithmetic of all but small requests runs in a thread.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

import numpy as np

from services.api_refusals import Refusal
from services.classifier import answers, fitting, zero_shot
from services.classifier.ask import FewShot, Labels, ZeroShot, not_found
from services.classifier.embedding import Embedder
from services.classifier.learning import read_weights
from services.classifier.store import Store, Usable
from services.classifier.sums import Doubles, Floats
from services.classifier.training import model_gone
from services.classifier.uses import Uses
from services.classifier.zero_shot import LabelVectors
from services.fields import FieldError
from services.models.budget import Budget
from services.models.door import Answer
from services.models.faults import UnknownModel

# Below this many scores an answer is written on the loop: about a millisecond.
FEW_SCORES: Final = 1_000
MOST_KNOWN: Final = 256

Work = Callable[[], bytes]


class Scorer:
    """Answers `/v1/classify`."""

    def __init__(self, embedder: Embedder, store: Store, uses: Uses) -> None:
        self._embedder = embedder
        self._store = store
        self._uses = uses
        self._labels = LabelVectors()
        # The weights of the classifiers used last, with the version that they are of.
        self._known: OrderedDict[UUID, tuple[int, Floats]] = OrderedDict()
        # One thread: several that run Python would keep the loop waiting for its turn.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")

    async def stop(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def few_shot(self, caller_key: int | None, asked: FewShot, budget: Budget) -> Answer:
        """Raises FieldError, ModelFault, UnavailableError."""
        usable, weights = await self._find(asked.classifier_id, caller_key)
        groups: Mapping[str | None, Labels] = {None: usable.labels}
        _check_length(len(asked.items), groups)
        try:
            items = await self._embedder.opened(asked.items, usable.model)
            if budget.is_set:
                budget.check(await self._embedder.count(items, usable.model))
            embedded = await self._embedder.embed(items, usable.model)
        except UnknownModel:
            raise model_gone() from None
        if embedded.vectors.shape[1] != usable.dimension_count:
            raise model_gone()
        tokens = sum(embedded.tokens)
        budget.check(tokens)

        def work() -> bytes:
            found: Mapping[str | None, Doubles] = {None: fitting.scores(weights, embedded.vectors)}
            return answers.classifications(groups, found, tokens)

        body = await self._run(work, len(asked.items) * len(usable.labels))
        self._uses.count(asked.classifier_id)
        return Answer(body, tokens)

    async def zero_shot(self, asked: ZeroShot, budget: Budget) -> Answer:
        """Raises FieldError, ModelFault."""
        _check_length(len(asked.items), asked.groups)
        model = self._embedder.resolve(asked.model)
        distinct = list(dict.fromkeys(label for group in asked.groups.values() for label in group))

        async def embed(texts: Sequence[str]) -> tuple[Floats, Sequence[int]]:
            found = await self._embedder.embed(list(texts), model)
            return found.vectors, found.tokens

        items = await self._embedder.opened(asked.items, model)
        if budget.is_set:
            # What labels cost does not depend on how they are framed.
            of_labels = await self._embedder.count(distinct, model)
            of_items = await self._embedder.count(items, model)
            if of_labels is not None and of_items is not None:
                budget.check(of_labels + of_items)
        pictured = np.array([not isinstance(item, str) for item in asked.items])
        framed = not pictured.any() and zero_shot.is_framed(asked.groups)
        embedded, known = await asyncio.gather(
            self._embedder.embed(items, model),
            self._labels.of(model, distinct, framed, embed),
        )
        tokens = sum(embedded.tokens) + sum(known[label].tokens for label in distinct)
        budget.check(tokens)
        temperatures = zero_shot.temperatures(pictured)

        def work() -> bytes:
            matrices = {
                name: np.stack([known[label].vector for label in group])
                for name, group in asked.groups.items()
            }
            found = {
                name: zero_shot.scores(embedded.vectors, matrix, temperatures)
                for name, matrix in matrices.items()
            }
            return answers.classifications(asked.groups, found, tokens)

        return Answer(await self._run(work, len(asked.items) * len(distinct)), tokens)

    async def _find(self, classifier_id: UUID, caller_key: int | None) -> tuple[Usable, Floats]:
        version, weights = self._known.get(classifier_id, (None, None))
        usable = await self._store.find_usable(classifier_id, caller_key, version)
        if usable is None:
            raise not_found(classifier_id)
        if usable.weights is not None:
            weights = read_weights(usable.weights, len(usable.labels))
            self._known[classifier_id] = (usable.version, weights)
            while len(self._known) > MOST_KNOWN:
                self._known.popitem(last=False)
        assert weights is not None, "the store leaves out only weights that are known"
        if classifier_id in self._known:
            self._known.move_to_end(classifier_id)
        return usable, weights

    async def _run(self, work: Work, count: int) -> bytes:
        if count <= FEW_SCORES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _check_length(inputs: int, groups: Mapping[str | None, Labels]) -> None:
    if answers.answer_bytes(inputs, groups) > answers.MOST_ANSWER_BYTES:
        message = (
            f"The answer for {inputs} inputs with labels of this length would be longer than "
            f"{answers.MOST_ANSWER_BYTES} bytes; please send fewer inputs or shorter labels"
        )
        raise FieldError(Refusal(400, "INPUT_TOO_LARGE", message, ("body", "input")))
