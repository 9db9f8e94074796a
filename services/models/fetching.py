"""Gets the bytes of pictures: decoded from base64, or fetched through the reader's SSRF guard.

It refuses private targets exactly as the reader does, and more bytes than one image may have.
"""

import asyncio
import binascii
from collections.abc import Sequence
from typing import Final

from services.models.faults import BadPicture
from services.models.inputs import Item, PictureSource
from services.models.pictures import Picture
from services.reader import target, trust
from services.reader.fetch import Ask, Fetcher
from services.reader.guard import Guard, SystemLookup
from services.reader.refusals import Refusal
from services.settings import Settings

# A picture is one file from one server; a minute of waiting is for pages.
DEADLINE_MS: Final = 20_000
# Fetched at the same time for one request: as many as a browser opens to one server.
AT_ONCE: Final = 6
ACCEPT: Final = "image/png,image/jpeg,image/webp,image/gif,image/bmp"


class PictureFetcher:
    """Turns the items of a request into what the engine takes."""

    def __init__(self, settings: Settings) -> None:
        self._lookup = SystemLookup()
        self._bytes = settings.image_bytes
        self._bytes_together = settings.model_body_bytes
        guard = Guard(
            self._lookup,
            domain=settings.domain,
            allowed=settings.reader_allow,
            own_origins=settings.gateway_origins,
        )
        self._fetcher = Fetcher(guard, trust.context(), settings.reader_user_agent)

    def close(self) -> None:
        self._lookup.close()

    async def opened(self, items: Sequence[Item]) -> list[str | Picture]:
        """The items in order, every source as its bytes. Raises BadPicture.

        Together they may be as large as a body, in which all could have come as well.
        """
        turn = asyncio.Semaphore(AT_ONCE)
        room = self._bytes_together

        async def one(index: int, item: Item) -> str | Picture:
            if isinstance(item, str):
                return item
            nonlocal room
            async with turn:
                picture = await self._picture(index, item)
            room -= len(picture.content)
            if room < 0:
                message = f"the images are larger than {self._bytes_together} bytes together"
                raise BadPicture(index, message)
            return picture

        if not any(isinstance(item, PictureSource) for item in items):
            return [item for item in items if isinstance(item, str)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index, item)) for index, item in enumerate(items)]
        except ExceptionGroup as several:
            # Raised from `except*` it would stay in a group on Python 3.11.2 (Debian 12).
            bad, other = several.split(BadPicture)
            if other is not None or bad is None:
                raise
            # One is enough to say; the others were stopped.
            raise bad.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _picture(self, index: int, source: PictureSource) -> Picture:
        if source.url is None:
            return Picture(await self._decoded(index, source.base64), source.size_bytes)
        named = target.parse(source.url)
        if isinstance(named, Refusal):
            raise BadPicture(index, named.message)
        ask = Ask({"Accept": ACCEPT}, DEADLINE_MS, self._bytes)
        page = await self._fetcher.fetch(named, ask)
        if isinstance(page, Refusal):
            raise BadPicture(index, page.message)
        if page.status != 200:
            raise BadPicture(index, f"{named.url} answered {page.status}")
        return Picture(page.body, source.size_bytes)

    async def _decoded(self, index: int, text: str) -> bytes:
        if len(text) * 3 // 4 > self._bytes + 2:
            raise BadPicture(index, f"the image is larger than {self._bytes} bytes")
        try:
            return await asyncio.to_thread(binascii.a2b_base64, text.encode("ascii"))
        except (binascii.Error, UnicodeEncodeError) as fault:
            raise BadPicture(index, "the image is not valid base64") from fault
