"""`sluice index`: fill, look at and thin out the local search index.

1. Find the running search service: SLUICE_SERVICE_SEARCH_URL, else the socket of `sluice up`.
2. Where none answers, run one (and a reader) on the same data folder for as long as this lasts.
3. Send documents in batches, signed as the operator; the service does the work.

Refuses to open the index itself: one process at a time has it, and that is the search service.
"""

import argparse
import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson

from gateway.commands import index_children
from gateway.commands.index_sources import Source, batches, sources
from gateway.commands.secret_files import keep_secret
from gateway.commands.terminal import complain, say
from gateway.edge.forward import Signer
from gateway.embedded.folder import socket_folder
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP: Final = "fill, look at and thin out the local search index"
# The services know operators by this subject; the gateway signs for keys and addresses only.
_SUBJECT: Final = "o:index"
_ANSWER_S: Final = 600.0
_EXAMPLES: Final = """
examples:
  sluice index add ./handbook                        every text, HTML and PDF file below a folder
  sluice index add ./handbook --base https://docs.example.com/handbook
  sluice index add https://example.com/a https://example.com/b
  sluice index add urls.txt                          a file with one URL per line
  sluice index stats
  sluice index remove https://example.com/a
  sluice index remove --below file://handbook
"""


@dataclass(frozen=True, slots=True)
class _Door:
    """Where the service listens: a unix socket, or a base URL."""

    base: str
    socket: str | None
    signer: Signer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One more word: what to do."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    choose = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = choose.add_parser(
        "add",
        help="add folders, files, URLs, or files with one URL per line",
        description="Add documents. A document replaces an older one at the same URL. Web pages "
        "are read by the reader, now and again for every search that finds them; files are kept "
        "as they are now, and found at file://<folder>/<path> or below --base.",
    )
    add.add_argument("sources", nargs="+", metavar="SOURCE")
    add.add_argument("--base", default="", metavar="URL", help="where the files of a folder live")
    choose.add_parser(
        "stats",
        help="how many documents, from where, how large",
        description="Show how many documents the index has, how many of them can be found, their "
        "size on disk, and per origin (starter, folder, page) when the newest was added.",
    )
    remove = choose.add_parser(
        "remove",
        help="remove documents by URL",
        description="Remove documents. What was added from a folder has URLs that begin with "
        "file://<folder>; `sluice index remove --below file://<folder>` removes all of it.",
    )
    remove.add_argument("urls", nargs="*", metavar="URL")
    remove.add_argument(
        "--below",
        action="append",
        default=[],
        metavar="URL",
        help="also everything below this URL; may be repeated",
    )


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print what was done; 0 if all of it was, 1 if some documents failed."""
    if arguments.action == "remove" and not (arguments.urls or arguments.below):
        raise ConfigurationFault(["name URLs to remove, or --below a URL"])
    given: list[Source] = []
    if arguments.action == "add":
        given = sources(arguments.sources, arguments.base)
        if not given:
            complain("nothing to add: no file of a known kind")
            return 1
    return asyncio.run(_run(settings, arguments, given))


async def _run(settings: Settings, arguments: argparse.Namespace, given: list[Source]) -> int:
    async with _service(settings, needs_reader=any(one.needs_reader for one in given)) as door:
        if arguments.action == "stats":
            return _show(await _ask(door, "GET", "/stats"))
        if arguments.action == "remove":
            wanted = {"urls": arguments.urls, "prefixes": arguments.below}
            answer = await _ask(door, "POST", "/remove", wanted)
            say(f"removed {_counted(answer['removed'])}")
            return 0
        return await _add(door, given)


async def _add(door: _Door, given: Iterable[Source]) -> int:
    added, failed = 0, 0
    for documents, unreadable in batches(given):
        failed += len(unreadable)
        for reason in unreadable:
            complain(reason)
        if not documents:
            continue
        answer = await _ask(door, "POST", "/documents", {"documents": documents})
        added += answer["added"]
        failed += len(answer["failed"])
        for url in answer["failed"]:
            complain(f"nothing could be read from {url}")
    say(f"added {_counted(added)}" + (f", {failed} failed" if failed else ""))
    return 1 if failed else 0


def _counted(documents: int) -> str:
    return "1 document" if documents == 1 else f"{documents} documents"


def _show(found: dict[str, Any]) -> int:
    megabytes = found["bytes"] / 1_000_000
    say(f"{found['documents']} documents, {found['indexed']} searchable, {megabytes:.1f} MB")
    for row in found["origins"]:
        newest = datetime.fromtimestamp(row["newest_ms"] / 1000, UTC)
        say(
            f"  {row['origin']:<8} {row['documents']:>8} documents {row['tokens']:>10} tokens, "
            f"newest {newest:%Y-%m-%d %H:%M} UTC"
        )
    return 0


async def _ask(door: _Door, method: str, path: str, document: object = None) -> dict[str, Any]:
    """One signed request. Raises ConfigurationFault with the service's words when it refuses."""
    body = b"" if document is None else orjson.dumps(document)
    stamp = time.time_ns() // 1_000_000
    lines = door.signer.lines(method, path, body, str(uuid.uuid4()), stamp, _SUBJECT)
    headers = dict(line.split(": ", 1) for line in lines.split("\r\n") if line)
    try:
        async with (
            _session(door) as session,
            session.request(
                method,
                door.base + path,
                data=body or None,
                headers={**headers, "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=_ANSWER_S),
            ) as answer,
        ):
            found = orjson.loads(await answer.read())
            status = answer.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        text = f"the search service gave no sensible answer: {error or type(error).__name__}"
        raise ConfigurationFault([text]) from error
    if status != 200 or not isinstance(found, dict):
        message = found.get("message") if isinstance(found, dict) else None
        raise ConfigurationFault([f"the search service refused ({status}): {message}"])
    return found


def _session(door: _Door) -> aiohttp.ClientSession:
    connector = aiohttp.UnixConnector(door.socket) if door.socket else aiohttp.TCPConnector()
    return aiohttp.ClientSession(connector=connector)


@asynccontextmanager
async def _service(settings: Settings, *, needs_reader: bool) -> AsyncIterator[_Door]:
    """The search service that runs, else one of our own until the end of the block."""
    folder = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationFault([f"{folder} cannot be used: {error.strerror}"]) from error
    secret = settings.internal_secret or keep_secret(
        folder, "internal-secret", "SLUICE_INTERNAL_SECRET"
    )
    door = _door(settings.service_urls.get("search"), folder, Signer(secret.split(",")[0]))
    if await _answers(door):
        yield door
        return
    if "search" in settings.service_urls:
        raise ConfigurationFault(["nothing answers at SLUICE_SERVICE_SEARCH_URL: is it running?"])
    async with index_children.running(settings, secret, needs_reader=needs_reader) as socket:
        yield _Door("http://search", str(socket), door.signer)


def _door(url: str | None, folder: Path, signer: Signer) -> _Door:
    if url is None:
        run = folder / "run"
        return _Door(
            "http://search", str(socket_folder(run, "search.sock") / "search.sock"), signer
        )
    if url.startswith("unix:"):
        return _Door("http://search", url.removeprefix("unix:"), signer)
    return _Door(url.rstrip("/"), None, signer)


async def _answers(door: _Door) -> bool:
    try:
        async with (
            _session(door) as session,
            session.get(f"{door.base}/health", timeout=aiohttp.ClientTimeout(total=10)) as answer,
        ):
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False
