"""Which engines and models this deployment has: the composition of what is optional.

It refuses nothing: what is not installed is None, and the reader says so to whoever asks for it.
"""

from typing import Final

from services.reader.fetch import Fetcher
from services.reader.guard import Guard
from services.reader.vision import Describer, Model
from services.reader.visits import Browser
from services.settings import Settings

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OFF: Final = "none"


def browser(_settings: Settings, _guard: Guard) -> Browser | None:
    """The browser engine, if one is installed."""
    return None


def describer(settings: Settings, fetcher: Fetcher) -> Describer | None:
    """The vision model for images without a text, if one is configured."""
    if not settings.reader_vision_url:
        return None
    model = Model(
        settings.reader_vision_url, settings.reader_vision_key, settings.reader_vision_model
    )
    return Describer(model, fetcher)
