"""Models behind other servers: both protocols, and every way in which a server can fail us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.models.engine import Engine, engine
from services.models.faults import NotOffered, RemoteFailed
from services.settings import Settings

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def far(
    settings: Settings, folder: Path, kind: str, handler: Handler, extra: str = ""
) -> AsyncIterator[Engine]:
    """An engine whose model `far` is the handler's."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{tail:.*}", handler)
    async with TestServer(app) as server:
        file = folder / "models.toml"
        file.write_text(
            f'[models.far]\nkind = "{kind}"\nurl = "{server.make_url("/")}"\ndimension = 2\n'
            f'model = "there"\napi_key = "k"\n{extra}'
        )
        found = engine(replace(settings, models_file=file))
        await found.start()
        try:
            yield found
        finally:
            await found.stop()


async def openai(request: web.Request) -> web.Response:
    assert request.path == "/v1/embeddings"
    assert request.headers["Authorization"] == "Bearer k"
    body = await request.json()
    assert body["model"] == "there"
    entries = [
        {"object": "embedding", "index": at, "embedding": [3.0 + at, 4.0]}
        for at in range(len(body["input"]))
    ]
    tokens = sum(map(len, body["input"]))
    return web.json_response(
        {"data": entries[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )


async def tei(request: web.Request) -> web.Response:
    assert request.path == "/embed"
    body = await request.json()
    assert body["truncate"] is True
    tokens = sum(map(len, body["inputs"]))
    return web.json_response(
        [[1.0, 0.0] for _ in body["inputs"]], headers={"x-compute-tokens": str(tokens)}
    )


async def test_openai_server_serves_in_order_with_its_own_count(
    settings: Settings, tmp_path: Path
) -> None:
    async with far(settings, tmp_path, "openai", openai) as models:
        texts = [f"text {n}" for n in range(70)]
        found = await models.embed(texts, model="far")
    assert found.model == "far"
    assert sum(found.tokens) == sum(map(len, texts))
    assert found.vectors.shape == (70, 2)
    assert found.vectors[0].tolist() == pytest.approx([0.6, 0.8])
    assert np.argsort(found.vectors[:32, 0]).tolist() == list(range(32))


async def test_tei_server_serves_with_its_own_count(settings: Settings, tmp_path: Path) -> None:
    async with far(settings, tmp_path, "tei", tei) as models:
        found = await models.embed(["abc", "d"], model="far", truncate=True)
    assert (found.vectors.tolist(), sum(found.tokens)) == ([[1, 0], [1, 0]], 4)


def answering(status: int, body: bytes) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    return handler


def shaped(**changes: Any) -> bytes:
    entry = {"index": 0, "embedding": changes.get("embedding", [1, 2])}
    return orjson.dumps({"data": [entry], "usage": changes.get("usage", {"total_tokens": 1})})


@pytest.mark.parametrize(
    ("status", "body", "answered"),
    [
        (500, b"", 502),
        (404, b"{}", 502),
        (401, b"{}", 502),
        (302, b"", 502),
        (429, b"{}", 503),
        (503, b"{}", 503),
        (200, b"", 502),
        (200, b"not json", 502),
        (200, b"[]", 502),
        (200, b'{"data": 5}', 502),
        (200, shaped(usage=None), 502),
        (200, shaped(embedding=[1]), 502),
        (200, shaped(embedding=[1, 2, 3]), 502),
        (200, shaped(embedding=[1, "x"]), 502),
        (200, shaped(embedding=[1, None]), 502),
        (200, shaped(embedding=5), 502),
    ],
)
async def test_failing_server_is_502_and_a_busy_one_503(
    status: int, body: bytes, answered: int, settings: Settings, tmp_path: Path
) -> None:
    async with far(settings, tmp_path, "openai", answering(status, body)) as models:
        with pytest.raises(RemoteFailed) as caught:
            await models.embed(["a"], model="far")
    assert caught.value.status == answered


async def test_input_that_the_server_refuses_is_refused(settings: Settings, tmp_path: Path) -> None:
    handler = answering(422, b'{"error": "too long for me"}')
    async with far(settings, tmp_path, "openai", handler) as models:
        with pytest.raises(NotOffered, match="too long for me"):
            await models.embed(["a"], model="far")


async def test_silent_server_is_503_at_the_deadline(settings: Settings, tmp_path: Path) -> None:
    async def silent(_: web.Request) -> web.Response:
        await asyncio.sleep(0.5)
        return web.Response()

    async with far(settings, tmp_path, "openai", silent, "deadline_ms = 100\n") as models:
        with pytest.raises(RemoteFailed, match="in time") as caught:
            await models.embed(["a"], model="far")
    assert caught.value.status == 503


async def test_server_that_is_not_there_is_503(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "models.toml"
    file.write_text('[models.far]\nkind = "tei"\nurl = "http://127.0.0.1:9"\ndimension = 2\n')
    models = engine(replace(settings, models_file=file))
    await models.start()
    with pytest.raises(RemoteFailed) as caught:
        await models.embed(["a"], model="far")
    await models.stop()
    assert caught.value.status == 503


async def test_late_chunking_on_a_server_is_refused(settings: Settings, tmp_path: Path) -> None:
    async with far(settings, tmp_path, "openai", openai) as models:
        with pytest.raises(NotOffered):
            await models.embed(["a", "b"], model="far", late_chunking=True)
