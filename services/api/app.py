"""Puts the parts of the four services behind one listener.

It refuses paths that none of them takes.
"""

from collections.abc import Sequence

from aiohttp import web

from services.classifier.app import Classifier
from services.classifier.app import parts as classifier_on
from services.embeddings.app import Embeddings
from services.models.engine import Engine
from services.models.fetching import PictureFetcher
from services.models.hosting import Part, alone
from services.models.listing import Listing
from services.rerank.app import Rerank
from services.settings import Settings


def build(settings: Settings) -> web.Application:
    """All four on one engine."""
    made: list[Classifier] = []

    def make(engine: Engine, pictures: PictureFetcher) -> Sequence[Part]:
        made.append(classifier_on(engine, pictures, settings))
        return [Embeddings(engine, pictures), Rerank(engine), *made, Listing(engine)]

    app = alone(settings, make)
    app.cleanup_ctx.append(made[0].run)
    return app
