"""A model behind the real protocol: sensible by default, and everything else by script."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

Behaviour = Callable[["Standin", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
# What a prompt says at its end tells what is wanted.
PLAN, REFLECT, ANSWER, FIELDS, EVALUATE = (
    "Plan how to research",
    "Judge what was found",
    "Answer the question in Markdown",
    "Answer the question from the quotes alone. Reply with one JSON object",
    "Judge the draft",
)


@dataclass
class Standin:
    """`script` is used up call by call; after it `says` speaks for itself."""

    port: int = 0
    script: list[Behaviour] = field(default_factory=list)
    always: Behaviour | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    hung_up: int = 0
    open_now: int = 0
    # One entry per call, as it comes.
    arrivals: asyncio.Queue[None] = field(default_factory=asyncio.Queue)
    answers: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append({"headers": dict(request.headers), **body})
        behave = self.script.pop(0) if self.script else self.always or sensible
        self.arrivals.put_nowait(None)
        self.open_now += 1
        try:
            return await behave(self, request, body)
        except (asyncio.CancelledError, ConnectionError):
            self.hung_up += 1
            raise
        finally:
            self.open_now -= 1

    def says(self, body: dict[str, Any]) -> str:
        """What a sensible model says to this prompt."""
        prompt = prompt_of(body)
        for mark, said in self.answers.items():
            if mark in prompt:
                return said if isinstance(said, str) else orjson.dumps(said).decode()
        if PLAN in prompt:
            return orjson.dumps(
                {"think": "I search for it.", "queries": ["Fallenmoor lock"], "answer": ""}
            ).decode()
        if REFLECT in prompt:
            return 'Certainly: {"think": "That is enough.", "ready": true, "queries": []}'
        if EVALUATE in prompt:
            return '```json\n{"passed": true, "why": "", "gaps": []}\n```'
        return "<think>hm</think>The lock at Fallenmoor was built in 1788 [1]. It has [99] gates."


def prompt_of(body: dict[str, Any]) -> str:
    """All that was said to the model."""
    parts = []
    for message in body["messages"]:
        content = message["content"]
        parts += [content] if isinstance(content, str) else [p.get("text", "") for p in content]
    return "\n".join(parts)


async def sensible(
    standin: Standin, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    return await spoken(standin.says(body), USAGE)(standin, request, body)


def spoken(text: str, usage: dict[str, Any] | None = None, *, end: bool = True) -> Behaviour:
    """These words, as the client asks for them; `end` False: the stream breaks off."""

    async def behave(_: Standin, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if not body.get("stream"):
            choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            told = {"usage": usage} if usage is not None else {}
            return web.json_response({"choices": [{"index": 0, **choice}], **told})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for at in range(0, len(text), 16):
            await response.write(event({"content": text[at : at + 16]}))
        if end:
            await response.write(event({}, "stop"))
            if usage is not None:
                data = orjson.dumps({"choices": [], "usage": usage})
                await response.write(b"data: " + data + b"\n\n")
            await response.write(b"data: [DONE]\n\n")
        return response

    return behave


def event(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"


def status(number: int, body: str = "{}", **headers: str) -> Behaviour:
    """A refusal."""

    async def behave(*_: object) -> web.StreamResponse:
        return web.Response(status=number, text=body, headers=headers)

    return behave


def raw(body: bytes, kind: str = "application/json") -> Behaviour:
    """Any bytes with any content type."""

    async def behave(*_: object) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind)

    return behave


async def silent(*_: object) -> web.StreamResponse:
    """Takes the question, and says nothing for ever."""
    await asyncio.Event().wait()
    raise AssertionError


async def endless(_: Standin, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A stream that goes on for as long as anybody listens."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    piece = event({"content": "and so on " * 2_000})
    while True:
        await response.write(piece)
        await asyncio.sleep(0)


async def trickle(_: Standin, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
    """A word now and then, and no end."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    while True:
        await response.write(event({"content": "well "}))
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Standin]:
    """A stand-in that listens, until the end of the block."""
    standin = Standin()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/chat/completions", standin.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    standin.port = runner.addresses[0][1]
    yield standin
    await runner.cleanup()
