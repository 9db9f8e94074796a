"""A stand-in for the engine: words are hashed to directions, a token is a word.

It refuses what the engine refuses, by the same faults.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.classifier.sums import Floats
from services.models.faults import InputTooLong, NoPictures, UnknownModel
from services.models.inputs import Item
from services.models.pictures import Picture

MODEL = "stand-in"
ALIAS = "known-by-another-name"
DIMENSION = 64
MOST_TOKENS = 8_192


@dataclass(frozen=True)
class Found:
    vectors: Floats
    tokens: list[int]
    model: str


@dataclass
class StandIn:
    """`hold` lets a test stop all embedding; `asked` is what was embedded so far."""

    dimension: int = DIMENSION
    model: str = MODEL
    # Whether nobody can tell beforehand what it will count.
    is_remote: bool = False
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[str] = field(default_factory=list)
    # One permit per call that has come as far as the hold.
    reached: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def __post_init__(self) -> None:
        self.hold.set()

    def resolve(self, model: str) -> str:
        if model not in (self.model, ALIAS):
            raise UnknownModel(model, (self.model, ALIAS))
        return self.model

    async def opened(self, items: Sequence[Item], model: str) -> list[str | Picture]:
        found: list[str | Picture] = []
        for index, item in enumerate(items):
            if not isinstance(item, str):
                raise NoPictures(index, self.resolve(model))
            found.append(item)
        return found

    async def count(self, items: Sequence[str | Picture], model: str) -> int | None:
        return None if self.is_remote else sum(tokens(str(item)) for item in items)

    async def embed(self, items: Sequence[str | Picture], model: str) -> Found:
        name = self.resolve(model)
        texts = [str(item) for item in items]
        for index, text in enumerate(texts):
            if tokens(text) > MOST_TOKENS:
                raise InputTooLong(index, tokens(text), MOST_TOKENS)
        self.asked.extend(texts)
        self.reached.release()
        await self.hold.wait()
        vectors = await asyncio.to_thread(embed, texts, self.dimension)
        return Found(vectors, [tokens(text) for text in texts], name)


def tokens(text: str) -> int:
    """What the stand-in counts for a text."""
    return len(text.split())


def embed(texts: Sequence[str], dimension: int = DIMENSION) -> Floats:
    """Unit vectors; texts that share words are near each other."""
    found = np.array([_sum(text, dimension) for text in texts], np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _sum(text: str, dimension: int) -> Floats:
    words = text.lower().split() or [""]
    found: Floats = np.sum([_direction(w, dimension) for w in words], axis=0, dtype=np.float32)
    return found


def _direction(word: str, dimension: int) -> Floats:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
    return np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
