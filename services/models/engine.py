"""Turns texts and pictures into vectors with whichever deployed model was asked for.

It refuses unknown names and inputs that are too long; it never blocks the event loop, and a model
that cannot be had is refused when it is asked for, not before.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.models import builtin, pictures, registry
from services.models.faults import ModelUnavailable, NoPictures, NotOffered
from services.models.local import LocalText, Passages
from services.models.pictures import Picture, Vision
from services.models.registry import Local, Registry
from services.models.remote import RemoteText
from services.models.windows import LEAST_LENGTH, Floats, pooled
from services.settings import Settings

LOGGER: Final = "sluice.models"
TOKENIZING_THREADS: Final = 2
# Pooled on the loop up to here: a few tens of microseconds.
FEW_WINDOWS: Final = 64


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors [n, dimension], each of length 1; tokens of each input; the model that served.

    `lengths` [n] are those that the vectors had before.
    """

    vectors: Floats
    tokens: list[int]
    model: str
    lengths: Floats


@dataclass(frozen=True, slots=True)
class _Deployed:
    text: LocalText | RemoteText
    vision: Vision | None = None


class Engine:
    """All deployed models. `start` before the first use, `stop` at the end."""

    def __init__(self, models: Registry, settings: Settings) -> None:
        self._registry = models
        self._settings = settings
        threads = settings.model_threads
        self._running = ThreadPoolExecutor(threads, thread_name_prefix="lane")
        self._tokenizing = ThreadPoolExecutor(TOKENIZING_THREADS, thread_name_prefix="tokenize")
        self._models: dict[str, _Deployed | ModelUnavailable] = {}

    async def start(self) -> None:
        """Loads every local model; those that cannot be had are logged, and refused later."""
        for name, entry in self._registry.models.items():
            if isinstance(entry, Local):
                self._models[name] = await asyncio.to_thread(self._load, entry)
            else:
                self._models[name] = _Deployed(RemoteText(entry))

    async def stop(self) -> None:
        """Closes connections and ends the threads, once what runs in them has ended."""
        for found in self._models.values():
            if isinstance(found, _Deployed) and isinstance(found.text, RemoteText):
                await found.text.close()
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
        return self._model(self.resolve(model)).text.dimension

    def check_pictures(self, items: Sequence[object], model: str | None) -> None:
        """Raises NoPictures for the first item that is no text, if the model only reads texts.

        To be asked before pictures are fetched for nothing.
        """
        name = self.resolve(model)
        if self._model(name).vision is None:
            for index, item in enumerate(items):
                if not isinstance(item, str):
                    raise NoPictures(index, name)

    async def embed(
        self,
        texts: Sequence[str | Picture],
        *,
        model: str | None,
        truncate: bool = False,
        late_chunking: bool = False,
    ) -> Embedded:
        """One vector per text or picture. Raises ModelFault; InputTooLong unless `truncate`.

        With `late_chunking` the texts are read as one, and each is pooled from its own tokens.
        """
        name = self.resolve(model)
        found = self._model(name)
        words = [item for item in texts if isinstance(item, str)]
        if len(words) < len(texts):
            if late_chunking:
                raise NotOffered("late_chunking is for texts only")
            return await self._mixed(name, found, texts, truncate)
        if not late_chunking:
            return _embedded(*await _embed(found.text, words, truncate), name)
        if isinstance(found.text, RemoteText):
            raise NotOffered(f"late_chunking is not offered by the model {name}")
        return _embedded(*await found.text.late(words, truncate), name)

    async def count(
        self,
        texts: Sequence[str | Picture],
        *,
        model: str | None,
        truncate: bool = False,
        late_chunking: bool = False,
    ) -> int | None:
        """What `embed` will count in all, without computing; None where only it can tell.

        Raises what `embed` raises of such an input.
        """
        found = self._model(self.resolve(model))
        if isinstance(found.text, RemoteText):
            return None
        words = [item for item in texts if isinstance(item, str)]
        seen = [item for item in texts if isinstance(item, Picture)]
        tokens = sum(await found.text.counts(words, truncate, late_chunking=late_chunking))
        if seen and found.vision is not None:
            tokens += sum(found.vision.tokens(picture) for picture in seen)
        return tokens

    async def passages(
        self, texts: Sequence[str], *, model: str | None, truncate: bool = False
    ) -> Passages:
        """Every text as the vectors of its windows, not normalised. Raises ModelFault."""
        return await self._model(self.resolve(model)).text.passages(texts, truncate)

    async def _mixed(
        self, name: str, found: _Deployed, items: Sequence[str | Picture], truncate: bool
    ) -> Embedded:
        self.check_pictures(items, name)
        vectors = np.zeros((len(items), found.text.dimension), np.float32)
        tokens = [0] * len(items)
        for index, item in enumerate(items):
            if isinstance(item, Picture):
                assert found.vision is not None
                vectors[index] = (await found.vision.embed(index, item))[0]
                tokens[index] = found.vision.tokens(item)
        places = [index for index, item in enumerate(items) if isinstance(item, str)]
        if places:
            words = [item for item in items if isinstance(item, str)]
            rows, counts = await _embed(found.text, words, truncate)
            vectors[places] = rows
            for place, count in zip(places, counts, strict=True):
                tokens[place] = count
        return _embedded(vectors, tokens, name)

    def _model(self, name: str) -> _Deployed:
        found = self._models.get(name)
        if found is None:
            raise ModelUnavailable(name, "it is not loaded")
        if isinstance(found, ModelUnavailable):
            raise found
        return found

    def _load(self, entry: Local) -> _Deployed | ModelUnavailable:
        folder = entry.folder
        try:
            if folder is None:
                folder = builtin.ensure(self._settings.data_dir)
            lanes = self._settings.model_threads
            text = LocalText(entry, folder, self._tokenizing, self._running, lanes)
            if not (folder / pictures.GRAPH).is_file():
                return _Deployed(text)
            vision = Vision(entry, folder, self._running, self._settings.image_pixels)
            if vision.dimension != text.dimension:
                raise ModelUnavailable(entry.name, "its texts and pictures differ in width")
            return _Deployed(text, vision)
        except ModelUnavailable as fault:
            logging.getLogger(LOGGER).warning("%s", fault)
            return fault


def engine(settings: Settings) -> Engine:
    """The engine of the settings, not started. Raises RegistryError."""
    return Engine(registry.load(settings.models_file), settings)


def _embedded(vectors: Floats, tokens: list[int], model: str) -> Embedded:
    lengths: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    unit: Floats = np.divide(vectors, np.maximum(lengths, LEAST_LENGTH)[:, None], dtype=np.float32)
    return Embedded(unit, tokens, model, lengths)


async def _embed(
    model: LocalText | RemoteText, texts: Sequence[str], truncate: bool
) -> tuple[Floats, list[int]]:
    found = await model.passages(texts, truncate)
    arguments = (found.vectors, found.owners, found.weights, len(texts))
    if len(found.owners) <= FEW_WINDOWS:
        return pooled(*arguments), found.tokens
    return await asyncio.to_thread(pooled, *arguments), found.tokens
