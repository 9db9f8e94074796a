"""Vectors for the classifier: the engine, behind a port of which tests have a stand-in.

It refuses nothing itself; what the engine refuses passes through as ModelFault.
"""

from collections.abc import Sequence
from typing import Protocol

from services.classifier.sums import Floats
from services.models.engine import Embedded, Engine
from services.models.fetching import PictureFetcher
from services.models.inputs import Item
from services.models.pictures import Picture

Opened = Sequence[str | Picture]


class Vectors(Protocol):
    """Vectors [n, d] of length 1; tokens of each input; the model that served."""

    @property
    def vectors(self) -> Floats: ...

    @property
    def tokens(self) -> list[int]: ...

    @property
    def model(self) -> str: ...


class Embedder(Protocol):
    """All calls raise ModelFault: for an unknown model, a long input, a picture for texts only."""

    def resolve(self, model: str) -> str:
        """The deployed model behind a name."""

    async def opened(self, items: Sequence[Item], model: str) -> Opened:
        """The items, of which every picture is there."""

    async def count(self, items: Opened, model: str) -> int | None:
        """The tokens that `embed` will count in all; None where only it can tell."""

    async def embed(self, items: Opened, model: str) -> Vectors:
        """One vector per item."""


class EngineEmbedder:
    """The engine of this process."""

    def __init__(self, engine: Engine, pictures: PictureFetcher) -> None:
        self._engine = engine
        self._pictures = pictures

    def resolve(self, model: str) -> str:
        return self._engine.resolve(model)

    async def opened(self, items: Sequence[Item], model: str) -> Opened:
        self._engine.check_pictures(items, model)
        return await self._pictures.opened(items)

    async def count(self, items: Opened, model: str) -> int | None:
        return await self._engine.count(items, model=model)

    async def embed(self, items: Opened, model: str) -> Embedded:
        return await self._engine.embed(items, model=model)
