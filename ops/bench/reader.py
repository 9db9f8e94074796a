"""The reader's numbers: pages per second of one core, how long its loop is ever held, and patience.

`python -m ops.bench.reader` runs the reader in this process with one extraction worker, a site and
a client in processes of their own, and writes `reader.md` beside this file. CPU seconds are those
of the reader and its worker, so a busy machine makes the numbers slower, not wrong.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import uvloop
from aiohttp import ClientSession, UnixConnector, web

from services import serving
from services import settings as service_settings
from services.accepting import Door, Listen
from services.reader.app import build
from services.signing import sign

HERE = Path(__file__).parent
PAGE_BYTES = 88_000
PAGES = 300
AT_ONCE = 8
SLOW = 200
HUGE_BYTES = 4_000_000
WHATS = ("usual", "usual", "large", "huge", "slow", "crowd")
LARGE_PARAGRAPHS = 12_000
TICKS = os.sysconf("SC_CLK_TCK")
SENTENCE = "The lower gates of lock {} are opened and the boat goes in, after which they close. "


def page(size: int = PAGE_BYTES) -> str:
    """An article with a head, a menu, sections, lists, a table and links, of about `size` bytes."""
    menu = "".join(f'<li class="item"><a href="/menu/{n}">Entry {n}</a></li>' for n in range(60))
    parts = [f"<title>Locks</title><nav class='menu'><ul>{menu}</ul></nav><article><h1>Locks</h1>"]
    number = 0
    while sum(map(len, parts)) < size - 2000:
        number += 1
        parts.append(
            f"<h2 id='s{number}'>Section {number}</h2><p class='text body'>"
            f"{SENTENCE.format(number) * 6}<a href='/lock/{number}'>More</a> <em>of it</em>.</p>"
            f"<ul><li>{SENTENCE.format('one')}</li><li>{SENTENCE.format('two')}</li></ul>"
        )
    parts.append(
        "<table><tr><th>Lock</th><th>Rise</th></tr><tr><td>1</td><td>2 m</td></tr></table>"
    )
    return "<!DOCTYPE html><html>" + "".join(parts) + "</article><footer>Imprint</footer></html>"


async def serve_site(path: str) -> None:
    """The site, until it is ended."""
    small = page(4000)
    huge = f"<title>Huge</title><pre>{SENTENCE * (HUGE_BYTES // len(SENTENCE))}</pre>"
    usual, large = page(), page().replace("</article>", "<p>x y z</p>" * LARGE_PARAGRAPHS)

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(30)
        text = {"/large": large, "/huge": huge, "/small": small}.get(request.path, usual)
        return web.Response(text=text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await asyncio.to_thread(Path(path).write_text, str(runner.addresses[0][1]))
    await asyncio.Event().wait()


class Client:
    """Asks the reader as the gateway does."""

    def __init__(self, session: ClientSession, secret: bytes) -> None:
        self._session = session
        self._secret = secret

    async def read(self, target: str, timeout_s: int = 30) -> float:
        """Seconds until the page was there."""
        path, stamp = f"/{target}", str(time.time_ns() // 1_000_000)
        head = {"x-request-id": "r", "x-sluice-time": stamp, "x-sluice-subject": "a:192.0.2.1"}
        digest = hashlib.sha256(b"").hexdigest()
        signature = sign(
            self._secret,
            method="GET",
            path_with_query=path,
            body_digest=digest,
            request_id="r",
            time_ms=stamp,
            subject="a:192.0.2.1",
        )
        head |= {"x-sluice-body": digest, "x-sluice-signature": signature}
        head |= {"x-timeout": str(timeout_s), "accept": "text/plain"}
        begun_s = time.monotonic()
        async with self._session.get(f"http://reader{path}", headers=head) as answer:
            await answer.read()
        return time.monotonic() - begun_s


async def ask(socket: str, secret: str, origin: str, what: str) -> None:
    """One load; prints seconds per page as JSON."""
    async with ClientSession(connector=UnixConnector(socket, limit=0)) as session:
        client = Client(session, bytes.fromhex(secret))
        found: list[float] = []
        if what == "slow":
            found += [await client.read(f"{origin}/a?{n}") for n in range(15)]
            slow = [asyncio.create_task(client.read(f"{origin}/slow?{n}", 6)) for n in range(SLOW)]
            await asyncio.sleep(1.5)
            found += [await client.read(f"{origin}/b?{n}") for n in range(15)]
            await asyncio.gather(*slow)
        elif what == "crowd":
            # As many at once, over the connections that are open by now.
            for turn in range(3):
                found += await asyncio.gather(
                    *(client.read(f"{origin}/small?{turn}.{n}") for n in range(SLOW))
                )
        else:
            limit = asyncio.Semaphore(AT_ONCE)

            async def one(number: int) -> float:
                async with limit:
                    return await client.read(f"{origin}/{what}?{number}")

            pages = PAGES if what == "usual" else 12 if what == "large" else 4
            found += await asyncio.gather(*(one(number) for number in range(pages)))
    sys.stdout.write(orjson.dumps(found).decode())


class Lag:
    """How long this process's loop was ever held, in milliseconds of its thread's CPU.

    By the clock a busy machine would be measured, not the loop.
    """

    def __init__(self) -> None:
        self.held_ms: list[float] = []

    async def watch(self) -> None:
        while True:
            begun_s = time.thread_time()
            await asyncio.sleep(0.001)
            self.held_ms.append((time.thread_time() - begun_s) * 1000)


def cpu_s(pids: list[int]) -> float:
    """CPU seconds of processes so far."""
    total = 0.0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def children() -> list[int]:
    path = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return [int(word) for word in path.read_text().split()]


@contextlib.asynccontextmanager
async def child(
    *words: str, module: str = "ops.bench.reader"
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _written(file: Path) -> str:
    """What another process writes there, as soon as it does."""
    while not file.exists() or not file.read_text():
        time.sleep(0.05)
    return file.read_text()


async def measure() -> Iterator[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    with tempfile.TemporaryDirectory() as folder:
        port_file, socket = Path(folder) / "port", f"{folder}/reader.sock"
        async with child("--site", str(port_file)):
            port = await asyncio.to_thread(_written, port_file)
            origin = f"http://127.0.0.1:{port}"
            secret = secrets.token_bytes(32)
            settings = service_settings.load(
                {
                    "SLUICE_INTERNAL_SECRET": secret.hex(),
                    "SLUICE_READER_ALLOW": origin,
                    "SLUICE_READER_WORKERS": "1",
                    "SLUICE_READER_BROWSER": "none",
                    "SLUICE_DATA_DIR": folder,
                }
            )
            before = set(children())
            runner = serving.runner_of(build(settings))
            await runner.setup()
            assert runner.server is not None
            door = Door(runner.server)
            await door.open(Listen(socket))
            serving.settle()
            await asyncio.sleep(3)
            pids = [os.getpid(), *(set(children()) - before)]
            rows = await _rows(pids, socket, secret.hex().encode().hex(), origin)
            await door.close()
            await runner.cleanup()
    return iter(rows)


async def _rows(
    pids: list[int], socket: str, secret: str, origin: str
) -> list[tuple[str, str, str]]:
    found: dict[str, list[float]] = {}
    lags: dict[str, Lag] = {}
    spent: dict[str, tuple[float, float]] = {}
    for what in WHATS:
        lags[what] = lag = Lag()
        before_s, begun_s = cpu_s(pids), time.monotonic()
        async with child("--ask", socket, secret, origin, what) as process:
            # Only now: what starting a process costs this one is not the reader's.
            watching = asyncio.create_task(lag.watch())
            out, _ = await process.communicate()
        spent[what] = cpu_s(pids) - before_s, time.monotonic() - begun_s
        watching.cancel()
        found[what] = orjson.loads(out)
    alone = statistics.median(found["slow"][:15])
    among = statistics.median(found["slow"][15:])
    per_core = PAGES / spent["usual"][0]
    return [
        ("pages of 88 KB per second of CPU", ">= 25", f"{per_core:.1f}"),
        ("the same by the clock, 1 worker", "", f"{PAGES / spent['usual'][1]:.1f}"),
        ("loop held at most, pages of 88 KB", "<= 20 ms", f"{max(lags['usual'].held_ms):.1f} ms"),
        ("loop held at most, pages of 0.2 MB", "<= 20 ms", f"{max(lags['large'].held_ms):.1f} ms"),
        ("loop held at most, pages of 4 MB", "<= 20 ms", f"{max(lags['huge'].held_ms):.1f} ms"),
        ("loop held at most, 200 slow targets", "<= 20 ms", f"{max(lags['slow'].held_ms):.1f} ms"),
        ("loop held at most, 200 at once, 3 x", "<= 20 ms", f"{max(lags['crowd'].held_ms):.1f} ms"),
        (
            f"a fast target beside {SLOW} slow ones",
            "<= 2 x",
            f"{among / alone:.2f} x ({alone * 1000:.0f} -> {among * 1000:.0f} ms)",
        ),
    ]


def main() -> None:
    """Measure and write, or be the site or the client of the measurement."""
    words = sys.argv[1:]
    if words[:1] == ["--site"]:
        asyncio.run(serve_site(words[1]))
    elif words[:1] == ["--ask"]:
        asyncio.run(ask(*words[1:5]))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            rows = list(runner.run(measure()))
        head = "# The reader's numbers\n\nWritten by `python -m ops.bench.reader`.\n\n"
        table = "".join(f"| {what} | {asked} | {measured} |\n" for what, asked, measured in rows)
        text = f"{head}| what | asked | measured |\n| --- | --- | --- |\n{table}"
        (HERE / "reader.md").write_text(text)
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
