"""Asks deepsearch as the gateway does for a key: signed, over real HTTP, streamed and whole."""

import asyncio
import hashlib
import io
import time
import uuid
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
import orjson

from services.signing import sign
from tests.services.asking import SECRET, Answer

COMPLETIONS = "/v1/chat/completions"
QUESTION = "When was the lock at Fallenmoor built?"
Json = dict[str, Any]


def signed(method: str, path: str, body: bytes, key: int, request_id: str) -> dict[str, str]:
    """What the gateway adds for a key."""
    return signed_as(f"k:{key}", method, path, body, request_id)


def signed_as(
    subject: str, method: str, path: str, body: bytes, request_id: str | None = None
) -> dict[str, str]:
    """What the gateway, or an operator, adds for a subject."""
    facts = {
        "method": method,
        "path_with_query": path,
        "body_digest": hashlib.sha256(body).hexdigest(),
        "request_id": request_id or str(uuid.uuid4()),
        "time_ms": str(time.time_ns() // 1_000_000),
        "subject": subject,
    }
    return {
        "Content-Type": "application/json",
        "x-request-id": facts["request_id"],
        "x-sluice-time": facts["time_ms"],
        "x-sluice-subject": facts["subject"],
        "x-sluice-body": facts["body_digest"],
        "x-sluice-signature": sign(SECRET.encode(), **facts),
    }


class Signer(httpx2.Auth):
    """Lets a published client speak to a service as if through the gateway."""

    requires_request_body = True

    def auth_flow(
        self, request: httpx2.Request
    ) -> Generator[httpx2.Request, httpx2.Response, None]:
        request_id = str(uuid.uuid4())
        path = request.url.raw_path.decode()
        request.headers.update(signed(request.method, path, request.content, 1, request_id))
        yield request


@dataclass
class Heard:
    """A stream as it was heard: chunks in order, comments, and when the first words came."""

    chunks: list[Json] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    first_word_s: float = -1.0
    took_s: float = 0.0

    def take(self, line: str, since_s: float) -> None:
        if line.startswith("data: {"):
            chunk = orjson.loads(line[6:])
            self.chunks.append(chunk)
            if self.first_word_s < 0 and chunk["choices"][0]["delta"].get("content"):
                self.first_word_s = time.monotonic() - since_s
        elif line.startswith(":"):
            self.comments.append(line)
        elif line:
            self.others.append(line)

    @property
    def deltas(self) -> list[Json]:
        return [chunk["choices"][0]["delta"] for chunk in self.chunks]

    @property
    def reasons(self) -> list[str | None]:
        return [chunk["choices"][0]["finish_reason"] for chunk in self.chunks]

    @property
    def last(self) -> Json:
        return self.chunks[-1]

    @property
    def running(self) -> list[int]:
        """The running usage that was told."""
        return [int(c.split()[2]) for c in self.comments if c.startswith(": usage ")]


@dataclass(frozen=True)
class Desk:
    """A client of deepsearch at `base`."""

    base: str

    def ask(self, question: str = QUESTION, **fields: Any) -> Json:
        return {"messages": [{"role": "user", "content": question}], **fields}

    async def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        key: int = 1,
        request_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        head = signed(method, path, body, key, request_id or str(uuid.uuid4()))
        async with (
            asyncio.timeout(60),
            aiohttp.ClientSession() as session,
            session.request(
                method, self.base + path, data=io.BytesIO(body), headers={**head, **(headers or {})}
            ) as response,
        ):
            return Answer(response.status, dict(response.headers), await response.read())

    async def post(self, body: Json | bytes, **how: Any) -> Answer:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        return await self.send("POST", COMPLETIONS, raw, **how)

    @asynccontextmanager
    async def open(
        self, body: Json, *, request_id: str | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response that is read by whoever opened it."""
        raw = orjson.dumps(body)
        head = signed("POST", COMPLETIONS, raw, 1, request_id or str(uuid.uuid4()))
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.base + COMPLETIONS, data=raw, headers=head) as response,
        ):
            yield response

    async def hear(self, body: Json, *, request_id: str | None = None) -> Heard:
        """A whole stream."""
        heard = Heard()
        since_s = time.monotonic()
        async with (
            asyncio.timeout(60),
            self.open({**body, "stream": True}, request_id=request_id) as response,
        ):
            assert response.status == 200, await response.text()
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                heard.take(line.decode().rstrip("\n"), since_s)
        heard.took_s = time.monotonic() - since_s
        return heard
