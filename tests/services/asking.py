"""Asks a service as the gateway does: signed, over TCP or a unix socket."""

import hashlib
import io
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from services.signing import sign

SECRET = "a secret of the tests long enough"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def tokens(self) -> int:
        return int(self.headers["x-usage-tokens"])

    @property
    def void(self) -> bool:
        return self.headers.get("x-charge-rule") == "void" and self.tokens == 0


def signed_headers(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    secret: str = SECRET,
    time_ms: int | None = None,
    streamed: bool = False,
) -> dict[str, str]:
    """What the gateway adds to a request to a service."""
    digest = "streamed" if streamed else hashlib.sha256(body).hexdigest()
    stamp = str(time.time_ns() // 1_000_000 if time_ms is None else time_ms)
    request_id = str(uuid.uuid4())
    subject = "a:192.0.2.1"
    return {
        "x-request-id": request_id,
        "x-sluice-time": stamp,
        "x-sluice-subject": subject,
        "x-sluice-body": digest,
        "x-sluice-signature": sign(
            secret.encode(),
            method=method,
            path_with_query=path,
            body_digest=digest,
            request_id=request_id,
            time_ms=stamp,
            subject=subject,
        ),
    }


@dataclass(frozen=True, slots=True)
class Asker:
    """A client of one service at `base`, or at a unix socket when `socket` is set."""

    base: str
    socket: str | None = None

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        return await self.raw("GET", path, {**signed_headers("GET", path), **(headers or {})})

    async def post(
        self, path: str, body: bytes | dict[str, Any], headers: Mapping[str, str] | None = None
    ) -> Answer:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        head = {"Content-Type": "application/json", **signed_headers("POST", path, content)}
        return await self.raw("POST", path, {**head, **(headers or {})}, content)

    async def raw(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        connector = aiohttp.UnixConnector(self.socket) if self.socket else aiohttp.TCPConnector()
        async with (
            aiohttp.ClientSession(connector=connector, skip_auto_headers=["Accept"]) as session,
            session.request(
                method,
                URL(self.base + path, encoded=True),
                headers=headers,
                data=io.BytesIO(body) if body else None,
            ) as response,
        ):
            return Answer(response.status, dict(response.headers), await response.read())
