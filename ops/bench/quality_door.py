"""The whole of it for the models' benchmark: api services behind a gateway, and both asked."""

import asyncio
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

    service: aiohttp.ClientSession
    client: aiohttp.ClientSession
    gateway: str
    key: str
    model: Path

    async def straight(self, texts: Sequence[str]) -> bytes:
        """Asks the service as the gateway does."""
        body = _body(texts)
        headers = signed_headers("POST", _PATH, body, secret=SECRET)
        return await self._ask(self.service, "http://service", body, headers)

    async def through(self, texts: Sequence[str]) -> bytes:
        """Asks the gateway as a client does."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return await self._ask(self.client, self.gateway, _body(texts), headers)

    async def vectors(self, texts: Sequence[str]) -> Any:
        """Vectors of the texts, one row each."""
        raw = orjson.loads(await self.straight(texts))
        rows = [base64.b64decode(entry["embedding"]) for entry in raw["data"]]
        return np.stack([np.frombuffer(row, "<f4") for row in rows])

    async def _ask(
        self, session: aiohttp.ClientSession, base: str, body: bytes, headers: dict[str, str]
    ) -> bytes:
        json = {"Content-Type": "application/json"}
        async with session.post(base + _PATH, data=body, headers=headers | json) as answer:
            raw = await answer.read()
            assert answer.status == 200, raw
            return raw


@asynccontextmanager
async def door(stack: Stack) -> AsyncIterator[Door]:
    """One api process on its socket and one gateway process, as `sluice up` has them."""
    socket = str(stack.folder / "api.sock")
    with different_ports(2) as (front, operations):
        settings = stack.settings(
            port=front, ops_port=operations, workers=1, service_embeddings_url=f"unix:{socket}"
        )
        async with (
            process("-m", "services.api", "--listen", f"unix:{socket}", environment=settings),
            process("-m", "gateway", "serve", environment=settings, port=front),
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(socket)) as service,
            aiohttp.ClientSession() as client,
        ):
            await _is_there(Path(socket))
            wide = {"rpm": PLENTY, "tpm": PLENTY, "concurrency": PLENTY}
            key = await rich_key(stack, front, {"embeddings": wide})
            model = stack.folder / "models" / "all-minilm-l6-v2"
            yield Door(service, client, f"http://127.0.0.1:{front}", key, model)


async def _is_there(socket: Path) -> None:
    for _ in range(600):
        if await asyncio.to_thread(socket.exists):
            return
        await asyncio.sleep(0.05)
    raise SystemExit(f"{socket} did not appear")


def _body(texts: Sequence[str]) -> bytes:
    fields = {"model": "jina-embeddings-v3", "input": list(texts), "encoding_format": "base64"}
    return orjson.dumps(fields)
