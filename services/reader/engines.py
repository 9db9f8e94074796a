"""Which engines and models this deployment has: the composition of what is optional.

It refuses nothing: what is not installed is None, and the reader says so to whoever asks for it.
"""

import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final, cast

from services.reader.fetch import Fetcher
from services.reader.guard import Guard
from services.reader.vision import Describer, Model
from services.reader.visits import Browser
from services.settings import Settings

NAMES: Final = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
OFF: Final = "none"


def browser(settings: Settings, guard: Guard) -> Browser | None:
    """The browser engine, if its driver and a Chromium are installed and it is not switched off."""
    program = settings.reader_browser or next(filter(None, map(shutil.which, NAMES)), "")
    if (
        program == OFF
        or not program
        or not Path(program).exists()
        or find_spec("playwright") is None
    ):
        return None
    # Only here, so that the service runs without the optional extra that the module imports.
    module = import_module("services.reader.browser")
    made = module.Chromium(
        program, guard, pages=settings.reader_browser_pages, user_agent=settings.reader_user_agent
    )
    return cast(Browser, made)


def describer(settings: Settings, fetcher: Fetcher) -> Describer | None:
    """The vision model for images without a text, if one is configured."""
    if not settings.reader_vision_url:
        return None
    model = Model(
        settings.reader_vision_url, settings.reader_vision_key, settings.reader_vision_model
    )
    return Describer(model, fetcher)
