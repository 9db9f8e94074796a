"""A stand-in for an OpenAI-compatible vision model."""

from typing import Any

from aiohttp import web

from tests.services.site import Site


class Model(Site):
    """Answers every image with the same sentence, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__({"/v1/chat/completions": self._complete})
        self.asked: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.headers.get("Authorization", ""), await request.json()))
        message = {"role": "assistant", "content": " A small\nblack square. "}
        return web.json_response({"choices": [{"message": message}]})
