"""`sluice verify-export`: whether a usage export is what was closed. Needs no running gateway.

Refuses to trust the export or the key's digests: only what was published counts.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.keys.format import parse_key_id
from gateway.ledger.export_form import FormError, decode, read_closed_days, read_key_days
from gateway.ledger.verify import Verdict, verify
from gateway.settings import Settings

HELP: Final = "prove a usage export against the published digests of closed days"
_SHOWN: Final = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Three files."""
    parser.add_argument("export", type=Path, metavar="FILE", help="CSV or JSON lines")
    parser.add_argument(
        "--days",
        type=Path,
        required=True,
        metavar="FILE",
        help="GET /v1/keys/me/usage/days with the same from and to",
    )
    parser.add_argument(
        "--published",
        type=Path,
        required=True,
        metavar="FILE",
        help="GET /v1/closed-days, better a copy that you kept",
    )
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def execute(_settings: Settings, arguments: argparse.Namespace) -> int:
    """Say what was found; 0 if the export is what was closed, else 1."""
    try:
        with _named(arguments.days):
            key_id, key_days = read_key_days(arguments.days.read_bytes())
            number = parse_key_id(key_id)
            if number is None:
                raise FormError(f"{key_id[:40]!r} is no id of a key")
        with _named(arguments.published):
            published = read_closed_days(arguments.published.read_bytes())
        with (
            _named(arguments.export),
            arguments.export.open(encoding="utf-8", errors="surrogateescape", newline="") as file,
        ):
            verdict = verify(number, decode(file), key_days, published)
    except OSError as error:
        raise ConfigurationFault([f"{error.filename} cannot be read: {error.strerror}"]) from error
    except FormError as error:
        complain(str(error))
        return 1
    return _tell(key_id, verdict, in_json=arguments.json)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Says which file is not what it should be."""
    try:
        yield
    except FormError as error:
        raise FormError(f"{path}: {error}") from error


def _tell(key_id: str, verdict: Verdict, *, in_json: bool) -> int:
    wrong = verdict.differences
    if in_json:
        document = {
            "key_id": key_id,
            "ok": not wrong,
            "differences": wrong,
            "days": verdict.days,
            "lines": verdict.lines,
            "tokens": verdict.tokens,
            "lines_not_closed": verdict.lines_not_closed,
        }
        say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return int(bool(wrong))
    for text in wrong[:_SHOWN]:
        say(f"WRONG  {text}")
    if len(wrong) > _SHOWN:
        say(f"WRONG  and {len(wrong) - _SHOWN} differences more")
    say(
        f"{'ok   ' if not wrong else 'WRONG'}  {key_id}: {verdict.days} days proved, "
        f"{verdict.lines} lines, {verdict.tokens} tokens; "
        f"{verdict.lines_not_closed} lines of days that are not closed"
    )
    return int(bool(wrong))
