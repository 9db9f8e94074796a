"""Deepsearch's numbers: first thought, 50 streams at once on one process, charges that add up.

`python -m ops.bench.deepsearch_streams` runs deepsearch in this process; reader, search, models, a
stand-in for a model and the clients are processes of their own. Writes `deepsearch_streams.md`.
How long the loop is held is CPU time of its thread, so a busy machine does not make it worse.
"""

import asyncio
import binascii
import contextlib
import hashlib
import statistics
import sys
import tempfile
import uuid
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import uvloop
from aiohttp import web

from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from ops.bench.reader import Lag
from services import serving
from services import settings as service_settings
from services.accepting import Door, Listen
from services.deepsearch.app import build
from tests.services.asking import SECRET, Asker
from tests.services.deepsearch import standin, wiki
from tests.services.deepsearch.desk import Desk, signed_as
from tests.services.processes import free_port, service

HERE = Path(__file__).parent
STREAMS = 50
ALONE = 20
# Paragraphs behind each page's text, so that a page has about 10,000 tokens.
FILLER = 130
QUESTIONS = (
    "When was the lock at Fallenmoor built?",
    "In which town was the engineer of the lock at Fallenmoor born?",
    "How long is the Elder Canal, and when was it opened?",
    "At which university did Ada Quill study, and when was it founded?",
    "What is the town on the river Thrum known for?",
)


async def model() -> None:
    """The stand-in, until it is ended."""
    async with standin.listening() as found:
        _say(str(found.port))
        await asyncio.Event().wait()


async def models() -> None:
    """Scores and vectors that cost no time, so that it is deepsearch's own loop that is loaded."""

    async def rerank(request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        texts = body["documents"]
        asked = set(body["query"].lower().split())
        scored = [len(asked & set(text.lower().split())) / 10 for text in texts]
        rows = [{"index": at, "relevance_score": score} for at, score in enumerate(scored)]
        return _free({"results": rows}, sum(map(len, texts)) // 4)

    async def embed(request: web.Request) -> web.Response:
        texts = orjson.loads(await request.read())["input"]
        rows = [{"embedding": _vector(text)} for text in texts]
        return _free({"data": rows}, sum(map(len, texts)) // 4)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/rerank", rerank)
    app.router.add_post("/v1/embeddings", embed)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    _say(str(runner.addresses[0][1]))
    await asyncio.Event().wait()


def _free(body: dict[str, Any], tokens: int) -> web.Response:
    headers = {"x-usage-tokens": str(tokens)}
    return web.Response(body=orjson.dumps(body), content_type="application/json", headers=headers)


def _vector(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest() * 48
    row = array("f", (byte / 256 - 0.5 for byte in digest[:384]))
    return binascii.b2a_base64(row.tobytes(), newline=False).decode()


async def clients(base: str, count: int, way: str) -> None:
    """`count` streams, all at once or one after the other; what they saw, as JSON."""
    desk = Desk(base)

    async def one(number: int) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        question = QUESTIONS[number % len(QUESTIONS)]
        body = desk.ask(question, budget_tokens=60_000)
        heard = await desk.hear(body, request_id=request_id)
        return {
            "id": request_id,
            "first_ms": heard.first_word_s * 1_000,
            "took_ms": heard.took_s * 1_000,
            "reason": heard.reasons[-1],
            "usage": heard.last["usage"]["total_tokens"],
        }

    if way == "at-once":
        found = await asyncio.gather(*(one(number) for number in range(count)))
    else:
        found = [await one(number) for number in range(count)]
    _say(orjson.dumps(found).decode())


@contextlib.asynccontextmanager
async def child(*words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __spec__.name, *words, stdout=asyncio.subprocess.PIPE, limit=1 << 24
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@contextlib.contextmanager
def neighbours(folder: Path, origin: str, api: str) -> Iterator[dict[str, str]]:
    """Reader and search as processes; the settings that name them and the models."""
    reader, search = (f"127.0.0.1:{free_port()}" for _ in range(2))
    base = {"SLUICE_DATA_DIR": str(folder), "SLUICE_SERVICE_READER_URL": f"http://{reader}"}
    reading = {"SLUICE_READER_ALLOW": origin, "SLUICE_READER_CACHE_BYTES": "1000000"}
    with (
        service("reader", reader, {**base, **reading}),
        service("search", search, base),
    ):
        yield {
            "SLUICE_SERVICE_READER_URL": f"http://{reader}",
            "SLUICE_SERVICE_SEARCH_URL": f"http://{search}",
            "SLUICE_SERVICE_EMBEDDINGS_URL": f"http://{api}",
            "SLUICE_SERVICE_RERANK_URL": f"http://{api}",
        }


async def _port(process: asyncio.subprocess.Process) -> int:
    assert process.stdout is not None
    return int(await process.stdout.readline())


@contextlib.asynccontextmanager
async def deepsearch(settings: Mapping[str, str]) -> AsyncIterator[str]:
    """The service in this process, as a service runs; its base address."""
    app = build(service_settings.load({"SLUICE_INTERNAL_SECRET": SECRET, **settings}))
    runner = serving.runner_of(app)
    await runner.setup()
    assert runner.server is not None
    door = Door(runner.server)
    port = free_port()
    await door.open(Listen(None, "127.0.0.1", port))
    serving.settle()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await door.close()
        await runner.cleanup()


async def ran(base: str, count: int, way: str) -> tuple[list[dict[str, Any]], float]:
    """What the clients saw, and how long the loop was held at most (ms)."""
    lag = Lag()
    watching = asyncio.create_task(lag.watch())
    async with child("clients", base, str(count), way) as process:
        assert process.stdout is not None
        found = orjson.loads(await process.stdout.readline())
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return found, max(lag.held_ms)


async def added_up(dsn: str, rows: list[dict[str, Any]]) -> int:
    """How many requests have steps whose sum is what was charged."""
    line = await asyncpg.connect(dsn, ssl=False)
    right = 0
    for row in rows:
        steps = await line.fetchval(
            "select steps from deepsearch_trace where request_id = $1", uuid.UUID(row["id"])
        )
        right += sum(step["tokens"] for step in orjson.loads(steps)) == row["usage"]
    await line.close()
    return right


async def measured(base: str, dsn: str, name: str) -> list[str]:
    """The rows of one mind."""
    alone, _ = await ran(base, ALONE, "in-turn")
    crowd, held_ms = await ran(base, STREAMS, "at-once")
    first = [row["first_ms"] for row in alone]
    crowded = [row["first_ms"] for row in crowd]
    rows = [*alone, *crowd]
    right = await added_up(dsn, rows)
    stopped = sum(row["reason"] == "stop" for row in rows)
    took_s = statistics.median(row["took_ms"] for row in alone) / 1_000
    return [
        f"| {name}: first think token, alone (median, most) | <= 300 ms "
        f"| {statistics.median(first):.0f} ms, {max(first):.0f} ms |",
        f"| {name}: first think token, {STREAMS} at once (median, most) | "
        f"| {statistics.median(crowded):.0f} ms, {max(crowded):.0f} ms |",
        f"| {name}: loop held at most, {STREAMS} streams at once | <= 20 ms | {held_ms:.1f} ms |",
        f"| {name}: a whole answer, alone (median) | | {took_s:.1f} s |",
        f"| {name}: charge = sum of steps | all | {right} of {len(rows)} |",
        f"| {name}: answers that end with stop | all | {stopped} of {len(rows)} |",
    ]


async def bench() -> None:
    site = wiki.site(filler=FILLER)
    site.start()
    folder = Path(tempfile.mkdtemp(prefix="deepsearch-streams-"))
    postgres = PostgresServer(folder / "pg")
    try:
        await postgres.start()
        await bring_up_to_date(postgres.dsn)
        async with child("models") as api, child("model") as llm:
            with neighbours(folder, site.origin, f"127.0.0.1:{await _port(api)}") as near:
                await indexed(near["SLUICE_SERVICE_SEARCH_URL"], site.origin)
                near["SLUICE_DATABASE_URL"] = postgres.dsn
                url = {"SLUICE_LLM_BASE_URL": f"http://127.0.0.1:{await _port(llm)}/v1"}
                async with deepsearch({**near, **url}) as base:
                    lines = await measured(base, postgres.dsn, "model")
                async with deepsearch(near) as base:
                    lines += await measured(base, postgres.dsn, "extractive")
    finally:
        await postgres.stop()
        site.stop()
    head = ["| what | wanted | found |", "| --- | --- | --- |"]
    text = "\n".join(["# Deepsearch: streams", "", *head, *lines, ""])
    (HERE / "deepsearch_streams.md").write_text(text)
    _say(text)


async def indexed(search: str, origin: str) -> None:
    """The local index knows the wiki."""
    body = orjson.dumps({"documents": wiki.documents(origin)})
    head = signed_as("o:index", "POST", "/documents", body)
    assert (await Asker(search).raw("POST", "/documents", head, body)).status == 200


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """This file in its four roles."""
    match sys.argv[1:]:
        case ["model"]:
            uvloop.run(model())
        case ["models"]:
            uvloop.run(models())
        case ["clients", base, count, way]:
            uvloop.run(clients(base, int(count), way))
        case _:
            uvloop.run(bench())


if __name__ == "__main__":
    main()
