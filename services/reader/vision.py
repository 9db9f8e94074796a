"""Describes images by a vision model behind an OpenAI-compatible endpoint.

Images are fetched by our own guarded fetcher and sent along, so that the model's side fetches
nothing on a page's word. It refuses nothing: an image that cannot be described stays without text.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from services.reader import target
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.target import Target

# A page may have hundreds; the first ones that a reader meets are worth the money.
IMAGES: Final = 20
IMAGE_BYTES: Final = 5 * 1024 * 1024
ANSWER_BYTES: Final = 256 * 1024
ALT_CHARACTERS: Final = 400
AT_ONCE: Final = 5
PROMPT: Final = (
    "Describe this image in one short sentence, as the alt text of a web page. "
    "Answer with the sentence alone."
)


@dataclass(frozen=True, slots=True)
class Model:
    """Where the model is asked, and by what name. `key` is empty if it needs none."""

    base_url: str
    key: str
    name: str


class Describer:
    """Asks the model. Holds no connections between pages."""

    def __init__(self, model: Model, fetcher: Fetcher) -> None:
        self._model = model
        self._fetcher = fetcher

    async def describe(self, urls: Sequence[str], deadline_ms: int) -> Mapping[str, str]:
        """Texts for the images at `urls`, as far as there is time; by address."""
        limit = asyncio.Semaphore(AT_ONCE)
        found: dict[str, str] = {}

        async def one(session: aiohttp.ClientSession, url: str) -> None:
            async with limit:
                text = await self._one(session, url, deadline_ms)
            if text:
                found[url] = text

        async with aiohttp.ClientSession(trust_env=False) as session:
            tasks = [
                asyncio.create_task(one(session, url)) for url in list(dict.fromkeys(urls))[:IMAGES]
            ]
            if tasks:
                _, late = await asyncio.wait(tasks, timeout=deadline_ms / 1000)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        return found

    async def _one(self, session: aiohttp.ClientSession, url: str, deadline_ms: int) -> str:
        named = target.parse(url)
        if not isinstance(named, Target):
            return ""
        image = await self._fetcher.fetch(named, Ask({}, deadline_ms, IMAGE_BYTES))
        if not isinstance(image, Fetched) or image.status != 200:
            return ""
        kind = image.content_type if image.content_type.startswith("image/") else "image/png"
        data = f"data:{kind};base64,{base64.b64encode(image.body).decode()}"
        content = [
            {"type": "text", "text": PROMPT},
            {"type": "image_url", "image_url": {"url": data}},
        ]
        asked = {
            "model": self._model.name,
            "max_tokens": 100,
            "messages": [{"role": "user", "content": content}],
        }
        headers = {"Content-Type": "application/json"}
        if self._model.key:
            headers["Authorization"] = f"Bearer {self._model.key}"
        address = self._model.base_url.rstrip("/") + "/chat/completions"
        try:
            async with session.post(address, data=orjson.dumps(asked), headers=headers) as answer:
                if answer.status != 200:
                    return ""
                return _said(orjson.loads(await answer.content.read(ANSWER_BYTES)))
        except (aiohttp.ClientError, OSError, ValueError):
            return ""


def _said(answer: Any) -> str:
    try:
        text = answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return ""
    return " ".join(text.split())[:ALT_CHARACTERS] if isinstance(text, str) else ""
