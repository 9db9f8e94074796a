"""Asks a classifier as the gateway does for a key: signed, over real HTTP."""

import asyncio
import hashlib
import time
import uuid
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from services.signing import sign
from tests.services.asking import SECRET, Answer
from tests.services.classifier.standin import MODEL

Json = dict[str, Any]


def example(text: str, label: str) -> Json:
    """One item of a training."""
    return {"text": text, "label": label}


def examples(*labels: str, each: int = 4) -> list[Json]:
    """`each` examples a label; examples of one label share its words."""
    return [example(f"{label} {label} w{n}", label) for label in labels for n in range(each)]


@dataclass(frozen=True)
class Desk:
    """A client of the classifier at `base`; the key of a call is its number, None an address."""

    base: str

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | object = b"",
        key: int | None = 1,
        *,
        budget: int | None = None,
    ) -> Answer:
        raw = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = _headers(method, path, raw, key)
        if budget is not None:
            headers["x-token-budget"] = str(budget)
        async with (
            asyncio.timeout(30),
            aiohttp.ClientSession() as session,
            session.request(method, self.base + path, headers=headers, data=raw) as response,
        ):
            return Answer(response.status, dict(response.headers), await response.read())

    async def train(self, body: object, key: int | None = 1) -> Answer:
        return await self.ask("POST", "/v1/train", body, key)

    async def classify(self, body: object, key: int | None = 1) -> Answer:
        return await self.ask("POST", "/v1/classify", body, key)

    async def get(self, path: str = "/v1/classifiers", key: int | None = 1) -> Answer:
        return await self.ask("GET", path, b"", key)

    async def delete(self, classifier_id: str, key: int | None = 1) -> Answer:
        return await self.ask("DELETE", f"/v1/classifiers/{classifier_id}", b"", key)

    async def trained(self, *labels: str, key: int = 1, **fields: object) -> str:
        """A new classifier of these labels."""
        answer = await self.train(
            {"model": MODEL, "input": examples(*(labels or ("cat", "dog"))), **fields}, key
        )
        assert answer.status == 200, answer.text
        return str(answer.json["classifier_id"])


def _headers(method: str, path: str, body: bytes, key: int | None) -> dict[str, str]:
    facts = {
        "method": method,
        "path_with_query": path,
        "body_digest": hashlib.sha256(body).hexdigest(),
        "request_id": str(uuid.uuid4()),
        "time_ms": str(time.time_ns() // 1_000_000),
        "subject": "a:192.0.2.1" if key is None else f"k:{key}",
    }
    return {
        "Content-Type": "application/json",
        "x-request-id": facts["request_id"],
        "x-sluice-time": facts["time_ms"],
        "x-sluice-subject": facts["subject"],
        "x-sluice-body": facts["body_digest"],
        "x-sluice-signature": sign(SECRET.encode(), **facts),
    }
