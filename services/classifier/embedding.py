"""Vectors for the classifier: the engine, behind a port of which tests have a stand-in.

It refuses nothing itself; what the engine refuses passes through as ModelFault.
"""

from collections.abc import Sequence
from typing import Protocol

from services.classifier.sums import Floats
from services.models.engine import Embedded, Engine
from services.models.fetching import PictureFetcher
from services.models.inputs import Item


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

    async def embed(self, items: Sequence[Item], model: str) -> Vectors:
        """One vector per item."""


class EngineEmbedder:
    """The engine of this process; pictures are fetched or decoded first."""

    def __init__(self, engine: Engine, pictures: PictureFetcher) -> None:
        self._engine = engine
        self._pictures = pictures

    def resolve(self, model: str) -> str:
        return self._engine.resolve(model)

    async def embed(self, items: Sequence[Item], model: str) -> Embedded:
        name = self._engine.resolve(model)
        self._engine.check_pictures(items, name)
        return await self._engine.embed(await self._pictures.opened(items), model=name)
