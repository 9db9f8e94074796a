"""Turns texts into vectors with whichever deployed model was asked for.

It refuses unknown names and inputs that are too long; it never blocks the event loop, and a model
that cannot be had is refused when it is asked for, not before.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.models import builtin
from services.models.faults import ModelFault, ModelUnavailable
from services.models.local import LocalText, Passages
from services.models.registry import Local, Registry
from services.models.windows import Floats, pooled

LOGGER: Final = "sluice.models"
TOKENIZING_THREADS: Final = 2
# Pooled on the loop up to here: a few tens of microseconds.
FEW_WINDOWS: Final = 64


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors [n, dimension], each of length 1; tokens of each input; the model that served."""

    vectors: Floats
    tokens: list[int]
    model: str


class Engine:
    """All deployed models. `start` before the first use, `stop` at the end."""

    def __init__(self, registry: Registry, data_dir: Path, threads: int) -> None:
        self._registry = registry
        self._data_dir = data_dir
        self._lanes = threads
        self._running = ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._tokenizing = ThreadPoolExecutor(TOKENIZING_THREADS, thread_name_prefix="tokenize")
        self._models: dict[str, LocalText | ModelUnavailable] = {}

    async def start(self) -> None:
        """Loads every local model; those that cannot be had are logged, and refused later."""
        for name, entry in self._registry.models.items():
            if isinstance(entry, Local):
                self._models[name] = await asyncio.to_thread(self._load, entry)

    async def stop(self) -> None:
        """Ends the threads, once what runs in them has ended."""
        for threads in (self._running, self._tokenizing):
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Deployed models and their aliases."""
        return self._registry.names

    def resolve(self, model: str | None) -> str:
        """The deployed model behind a name. Raises UnknownModel."""
        return self._registry.resolve(model)

    def dimension(self, model: str | None) -> int:
        """Width of the model's vectors. Raises UnknownModel, ModelUnavailable."""
        return self._model(model).dimension

    async def embed(
        self,
        texts: Sequence[str],
        *,
        model: str | None,
        truncate: bool = False,
        late_chunking: bool = False,
    ) -> Embedded:
        """One vector per text. Raises ModelFault; InputTooLong unless `truncate`.

        With `late_chunking` the texts are read as one, and each is pooled from its own tokens.
        """
        name = self.resolve(model)
        found = self._model(name)
        if late_chunking:
            vectors, tokens = await found.late(texts, truncate)
            return Embedded(vectors, tokens, name)
        passages = await found.passages(texts, truncate)
        arguments = (passages.vectors, passages.owners, passages.weights, len(texts))
        if len(passages.owners) <= FEW_WINDOWS:
            return Embedded(pooled(*arguments), passages.tokens, name)
        vectors = await asyncio.to_thread(pooled, *arguments)
        return Embedded(vectors, passages.tokens, name)

    async def passages(
        self, texts: Sequence[str], *, model: str | None, truncate: bool = False
    ) -> Passages:
        """Every text as the vectors of its windows. Raises ModelFault."""
        return await self._model(model).passages(texts, truncate)

    def _model(self, model: str | None) -> LocalText:
        name = self.resolve(model)
        found = self._models.get(name)
        if found is None:
            raise ModelUnavailable(name, "it is not loaded")
        if isinstance(found, ModelUnavailable):
            raise found
        return found

    def _load(self, entry: Local) -> LocalText | ModelUnavailable:
        try:
            folder = builtin.ensure(self._data_dir) if entry.folder is None else entry.folder
            return LocalText(entry, folder, self._tokenizing, self._running, self._lanes)
        except ModelUnavailable as fault:
            logging.getLogger(LOGGER).warning("%s", fault)
            return fault


__all__ = ["Embedded", "Engine", "ModelFault", "Passages"]
