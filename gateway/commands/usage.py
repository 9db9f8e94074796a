"""`sluice usage`: the usage export of a key and the digests of closed days, for an operator.

Refuses to touch the database itself, and to gather an export in memory: it is written as it comes.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import quote, urlencode

import aiohttp

from gateway.commands.keys import admin_token
from gateway.commands.ports import reachable
from gateway.commands.terminal import complain
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP: Final = "the usage export of a key, and the digests of closed days"
_SILENT_S: Final = 60.0
_PIECE_BYTES: Final = 65_536
_EXAMPLES: Final = """\
examples:
  sluice usage export key_3rXk0000abc --from 2026-11-01 --to 2026-11-30 --out november.csv
  sluice usage days key_3rXk0000abc --out days.json
  sluice usage published --out published.json
  sluice verify-export november.csv --days days.json --published published.json

A day is a UTC day, by the time at which a charge was posted. A refund is a line of its own, with
tokens below 0, on the day on which it was given. Owners have the same at their front door:
/v1/keys/me/usage/export, /v1/keys/me/usage/days and /v1/closed-days.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One more word: what to read."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    choose = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *, of_one_key: bool = True) -> argparse.ArgumentParser:
        made = choose.add_parser(name, help=text, description=f"{text}.")
        if of_one_key:
            made.add_argument("key_id", metavar="KEY_ID", help="such as key_3rXk0000abc")
        made.add_argument("--from", dest="first", metavar="DAY", help="such as 2026-11-01")
        made.add_argument("--to", dest="last", metavar="DAY", help="that day included")
        made.add_argument("--out", type=Path, metavar="FILE", help="instead of standard output")
        return made

    export = action("export", "every charge and refund of a key, one line each")
    export.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    action("days", "the digests of a key's closed days, as JSON")
    action("published", "the digests of all keys' closed days, as JSON", of_one_key=False)


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Write the answer; 0 if it is whole, else 1."""
    try:
        if arguments.out is None:
            return asyncio.run(_fetch(settings, arguments, sys.stdout.buffer))
        with arguments.out.open("wb") as file:
            return asyncio.run(_fetch(settings, arguments, file))
    except aiohttp.ClientPayloadError:
        complain("the answer broke off: what was written is not whole")
        return 1
    except BrokenPipeError:
        return 1
    except (aiohttp.ClientError, OSError) as error:
        raise ConfigurationFault([f"nothing sensible answers ({error}): is it running?"]) from error


async def _fetch(settings: Settings, arguments: argparse.Namespace, out: BinaryIO) -> int:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SILENT_S, sock_read=_SILENT_S)
    headers = {"Authorization": f"Bearer {admin_token(settings)}"}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.get(_url(settings, arguments)) as answer,
    ):
        if answer.status != 200:
            complain(f"{answer.status}: {(await answer.text())[:2_000]}")
            return 1
        async for piece in answer.content.iter_chunked(_PIECE_BYTES):
            out.write(piece)
        out.flush()
    return 0


def _url(settings: Settings, arguments: argparse.Namespace) -> str:
    host, port = reachable(settings.ops_bind), settings.ops_port
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    path = "/admin/closed-days"
    if arguments.action != "published":
        path = f"/admin/keys/{quote(arguments.key_id, safe='')}/usage/{arguments.action}"
    query = {
        "from": arguments.first,
        "to": arguments.last,
        "format": getattr(arguments, "format", None),
    }
    given = urlencode({name: text for name, text in query.items() if text is not None})
    return f"{base}{path}?{given}"
