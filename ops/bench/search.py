"""The search's numbers: how long its loop is ever held, by what it does at its worst.

`python -m ops.bench.search` runs the search in this process over an index of a few thousand
documents, a site of icons and a client in processes of their own, and writes `search.md` beside
this file.
"""

import asyncio
import hashlib
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path

import orjson
import uvloop
from aiohttp import ClientSession, UnixConnector, web

from ops.bench.reader import child
from services import serving
from services import settings as service_settings
from services.accepting import Door, Listen
from services.search.app import build
from services.search.operating import SUBJECT
from services.signing import sign

HERE = Path(__file__).parent
SMALL, SMALL_WORDS = 2000, 1500
LARGE, LARGE_WORDS = 25, 120_000
AT_ONCE = 8
SEARCHES = 60
STEMS = [
    f"{head}{tail}" for head in "bcdfghklmnprstvw" for tail in ("anal", "older", "ink", "ates")
]
WHATS = ("adding", "small", "many", "large", "events", "icons", "adding again and searching")


def document(number: int, size: int, origin: str) -> dict[str, str]:
    """Words that every search finds, mixed differently in each document."""
    words = [STEMS[(number * 7 + at * at) % len(STEMS)] for at in range(size)]
    rows = [" ".join(words[at : at + 12]) for at in range(0, size, 12)]
    name = "large" if size == LARGE_WORDS else "small"
    return {
        "url": f"{origin}/{name}/{number}",
        "title": f"{name} {words[0]} {number}",
        "content": "\n\n".join(f"{row} [a link](https://example.org/{at})." for at, row in
                               enumerate(rows)),
    }  # fmt: skip


class Client:
    """Asks the search as the gateway and as `sluice index` do."""

    def __init__(self, session: ClientSession, secret: bytes) -> None:
        self._session = session
        self._secret = secret

    async def ask(self, path: str, accept: str, body: bytes = b"", subject: str = "k:1") -> float:
        """Seconds until the answer was there, whole."""
        method, stamp = ("POST" if body else "GET"), str(time.time_ns() // 1_000_000)
        digest = hashlib.sha256(body).hexdigest()
        signature = sign(
            self._secret,
            method=method,
            path_with_query=path,
            body_digest=digest,
            request_id="r",
            time_ms=stamp,
            subject=subject,
        )
        head = {"x-request-id": "r", "x-sluice-time": stamp, "x-sluice-subject": subject}
        head |= {"x-sluice-body": digest, "x-sluice-signature": signature, "accept": accept}
        head |= {"x-with-favicons": "1"} if "icons" in path else {}
        head |= {"x-respond-with": "no-content"} if "bodies" not in path else {}
        begun_s = time.monotonic()
        async with self._session.request(
            method, f"http://search{path}", headers=head, data=body or None
        ) as answer:
            await answer.read()
            if answer.status not in (200, 422):
                raise RuntimeError(f"{path}: {answer.status}")
        return time.monotonic() - begun_s


async def ask(socket: str, secret: str, what: str) -> None:
    """One load; prints seconds per answer as JSON."""
    async with ClientSession(connector=UnixConnector(socket, limit=0)) as session:
        client = Client(session, bytes.fromhex(secret))
        if what == "adding":
            await _add(client, range(SMALL), SMALL_WORDS)
            await _add(client, range(LARGE), LARGE_WORDS)
            found = []
        elif what.endswith("searching"):
            adding = asyncio.create_task(_add(client, range(400), SMALL_WORDS))
            found = await _searches(client, "small")
            await adding
        else:
            found = await _searches(client, what)
    sys.stdout.write(orjson.dumps(found).decode())


async def _add(client: Client, numbers: range, size: int) -> None:
    step = 100 if size == SMALL_WORDS else 5
    for first in range(0, len(numbers), step):
        rows = [document(n, size, "https://example.org") for n in numbers[first : first + step]]
        await client.ask("/documents", "*/*", orjson.dumps({"documents": rows}), SUBJECT)


async def _searches(client: Client, what: str) -> list[float]:
    limit = asyncio.Semaphore(AT_ONCE)
    accept = "text/event-stream" if what == "events" else "application/json"
    path = {
        "small": "/?q={0}+{1}&num=10",
        "many": "/?q={0}+{1}+{2}+{3}+{4}&num=20",
        "large": "/?q=intitle:large+{0}+{1}&num=20&bodies=1",
        "events": "/?q=intitle:large+{0}+{1}&num=20&bodies=1",
        "icons": "/?q={0}+{1}&num=20&icons=1",
    }[what]

    async def one(number: int) -> float:
        async with limit:
            words = [STEMS[(number * 5 + at * 3) % len(STEMS)] for at in range(5)]
            return await client.ask(path.format(*words), accept)

    searches = 12 if what in ("large", "events") else SEARCHES
    return list(await asyncio.gather(*(one(number) for number in range(searches))))


class Lag:
    """How long this process's loop was ever held, in milliseconds.

    Other threads hold it by holding the interpreter, which is CPU of this process; time in which
    the process had no CPU, or this thread waited for one, is the machine's. The rest is an upper
    bound: work of threads that hold nothing counts, too.
    """

    def __init__(self) -> None:
        self.held_ms = 0.0

    async def watch(self) -> None:
        while True:
            begun_s, spent_s = time.monotonic() - waited_s(), time.process_time()
            await asyncio.sleep(0.001)
            clock_s = time.monotonic() - waited_s() - begun_s
            held_s = min(clock_s, time.process_time() - spent_s)
            self.held_ms = max(self.held_ms, held_s * 1000)


def waited_s() -> float:
    """How long this thread has been ready to run, and had no CPU."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


async def measure() -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        socket, secret = f"{folder}/search.sock", secrets.token_bytes(32)
        settings = service_settings.load(
            {"SLUICE_INTERNAL_SECRET": secret.hex(), "SLUICE_DATA_DIR": folder}
        )
        runner = serving.runner_of(build(settings))
        await runner.setup()
        assert isinstance(runner.server, web.Server)
        door = Door(runner.server)
        await door.open(Listen(socket))
        serving.settle()
        for what in WHATS:
            lag = Lag()
            async with child(
                "--ask", socket, secret.hex().encode().hex(), what, module="ops.bench.search"
            ) as process:
                watching = asyncio.create_task(lag.watch())
                out, _ = await process.communicate()
                watching.cancel()
            found = orjson.loads(out)
            took = f"{statistics.median(found) * 1000:.0f} ms each" if found else ""
            rows.append((f"loop held at most, {what}", "<= 20 ms", f"{lag.held_ms:.1f} ms", took))
        await door.close()
        await runner.cleanup()
    return [
        (what, asked, f"{held}{'; ' if took else ''}{took}") for what, asked, held, took in rows
    ]


def main() -> None:
    """Measure and write, or be the client of the measurement."""
    words = sys.argv[1:]
    if words[:1] == ["--ask"]:
        asyncio.run(ask(*words[1:4]))
        return
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rows = runner.run(measure())
    head = "# The search's numbers\n\nWritten by `python -m ops.bench.search`.\n\n"
    table = "".join(f"| {what} | {asked} | {measured} |\n" for what, asked, measured in rows)
    text = f"{head}| what | asked | measured |\n| --- | --- | --- |\n{table}"
    (HERE / "search.md").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
