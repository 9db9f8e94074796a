"""The whole of it for the models' benchmark: api services behind a gateway, and both asked."""

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson

from ops.bench.stack import PLENTY, SECRET, Stack, different_ports, process, rich_key
from tests.services.asking import signed_headers

_PATH = "/v1/embeddings"


@dataclass(frozen=True)
class Door:
    """The service itself, and the gateway before it."""

    session: aiohttp.ClientSession
    service: str
    gateway: str
    key: str
    model: Path

    async def straight(self, texts: Sequence[str]) -> bytes:
        """Asks the service as the gateway does."""
        body = _body(texts)
        headers = signed_headers("POST", _PATH, body, secret=SECRET)
        return await self._ask(self.service, body, headers)

    async def through(self, texts: Sequence[str]) -> bytes:
        """Asks the gateway as a client does."""
        return await self._ask(self.gateway, _body(texts), {"Authorization": f"Bearer {self.key}"})

    async def vectors(self, texts: Sequence[str]) -> Any:
        """Vectors of the texts, one row each."""
        raw = orjson.loads(await self.straight(texts))
        rows = [base64.b64decode(entry["embedding"]) for entry in raw["data"]]
        return np.stack([np.frombuffer(row, "<f4") for row in rows])

    async def _ask(self, base: str, body: bytes, headers: dict[str, str]) -> bytes:
        json = {"Content-Type": "application/json"}
        async with self.session.post(base + _PATH, data=body, headers=headers | json) as answer:
            raw = await answer.read()
            assert answer.status == 200, raw
            return raw


@asynccontextmanager
async def door(stack: Stack) -> AsyncIterator[Door]:
    """One api process and one gateway process, a key with plenty."""
    with different_ports(3) as (api, front, operations):
        at = f"http://127.0.0.1:{api}"
        settings = stack.settings(
            port=front, ops_port=operations, workers=1, service_embeddings_url=at
        )
        listen = ("-m", "services.api", "--listen", f"127.0.0.1:{api}")
        async with (
            process(*listen, environment=settings, port=api),
            process("-m", "gateway", "serve", environment=settings, port=front),
            aiohttp.ClientSession() as session,
        ):
            wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
            key = await rich_key(stack, front, {"embeddings": wide})
            model = stack.folder / "models" / "all-minilm-l6-v2"
            yield Door(session, at, f"http://127.0.0.1:{front}", key, model)


def _body(texts: Sequence[str]) -> bytes:
    fields = {"model": "jina-embeddings-v3", "input": list(texts), "encoding_format": "base64"}
    return orjson.dumps(fields)
