"""`sluice simulate-limits`: replays the arrival log under another catalogue; who would be refused?

Refuses to touch a running gateway: it only reads the log. `sluice limits apply` is the next step.
"""

import argparse
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.admission.scripts import DEFAULT_BUCKETS
from gateway.arrivals.house import arrivals_root
from gateway.arrivals.pseudonym import pseudonyms
from gateway.arrivals.report import Comparison, Tally
from gateway.arrivals.shelf import Shelf
from gateway.commands.terminal import say
from gateway.errors import ConfigurationFault
from gateway.keys.format import parse_key_id, peppers
from gateway.products.builtin import judged, text_of
from gateway.settings import Settings
from gateway.units import US_PER_S, WINDOW_US

HELP: Final = "replay the arrivals of the last days under another catalogue: who would be refused"
_UNITS_S: Final = {"m": 60, "h": 3_600, "d": 86_400}
_SINCE: Final = re.compile(r"(\d{1,5})([mhd])")
_MOST_SHOWN: Final = 10
_EXAMPLES: Final = """\
examples:
  sluice simulate-limits --plan wanted.toml
  sluice simulate-limits --plan wanted.toml --since 24h --product embeddings --json
  sluice simulate-limits --plan wanted.toml --key key_3rXk0000abc
  sluice simulate-limits --plan wanted.toml --folder /srv/arrivals-of-all-nodes

The log is of this machine; to see every node, collect the folders `arrivals` of all in one.
Subjects are shown as pseudonyms, which only --key can make of a key's id. The plan in force is
replayed as well: how often it agrees with what was decided says how far to trust the rest.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The plan, and what of the log to look at."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    parser.add_argument("--plan", type=Path, required=True, help="a catalogue file")
    parser.add_argument("--since", default="7d", metavar="7d", help="so many m, h or d ago")
    parser.add_argument("--product", action="append", help="only this one; may be repeated")
    parser.add_argument("--folder", type=Path, help="the logs; DATA_DIR/arrivals unless given")
    parser.add_argument("--key", metavar="KEY_ID", help="tell of this key, whatever its rank")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the report; 0, or 1 when the log has nothing."""
    since = _SINCE.fullmatch(arguments.since)
    if since is None:
        raise ConfigurationFault([f"--since must be such as 7d, 24h or 90m: {arguments.since!r}"])
    plan = judged(arguments.plan, text_of(arguments.plan))
    only = frozenset(arguments.product or ())
    if only - plan.products.keys():
        text = f"the plan has no {', '.join(sorted(only - plan.products.keys()))}"
        raise ConfigurationFault([text])
    name = None if arguments.key is None else _name_of(settings, arguments.key)
    shelf = Shelf(arguments.folder or arrivals_root(settings))
    found = Comparison(plan, WINDOW_US // DEFAULT_BUCKETS)
    started_s = time.monotonic()
    since_s = time.time() - int(since[1]) * _UNITS_S[since[2]]
    for event in shelf.events(since_s):
        found.take(event, only=only)
    document = report(found, shelf, name)
    document["replayed_in_s"] = round(time.monotonic() - started_s, 3)
    if arguments.json:
        say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        say("\n".join(words(document)))
    return 0 if document["arrivals"] else 1


def _name_of(settings: Settings, key_id: str) -> bytes:
    number = parse_key_id(key_id)
    if number is None:
        raise ConfigurationFault(["--key must look like key_ and 11 characters"])
    pepper = settings.key_pepper
    if pepper is None:
        path = settings.data_dir / "key-pepper"
        try:
            pepper = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            text = f"{path} cannot be read ({error.strerror}): set SLUICE_KEY_PEPPER"
            raise ConfigurationFault([text]) from error
    return pseudonyms(peppers(pepper)[0])(f"k:{number}")


def report(found: Comparison, shelf: Shelf, name: bytes | None) -> dict[str, Any]:
    """Everything that there is to say."""
    agreed = found.agreed / found.compared if found.compared else None
    ranked = sorted(found.subjects.items(), key=lambda each: (-each[1].newly_refused, each[0]))
    document: dict[str, Any] = {
        "from": _moment(found.from_us),
        "until": _moment(found.until_us),
        "arrivals": sum(each.arrivals for each in found.tiers.values()),
        "log_bytes": shelf.read_bytes,
        "unread": shelf.unread,
        "left_out": dict(found.left_out),
        "fidelity": {
            "compared": found.compared,
            "agreed_share": None if agreed is None else round(agreed, 6),
            "disagreed": {f"{a} -> {b}": n for (a, b), n in found.disagreed.most_common()},
        },
        "tiers": [
            {"product": product, "tier": tier, **tally.document()}
            for (product, tier), tally in sorted(found.tiers.items())
        ],
        "subjects_newly_refused": sum(bool(each.newly_refused) for each in found.subjects.values()),
        "subjects": [
            _of_subject(found, who, tally)
            for who, tally in ranked[: 10 * _MOST_SHOWN]
            if tally.newly_refused
        ],
        "worst_minutes": [
            {"minute": _moment(minute * 60 * US_PER_S), "product": product, "newly_refused": n}
            for (minute, product), n in found.minutes.most_common(_MOST_SHOWN)
        ],
    }
    if name is not None:
        whose = sorted(who for who in found.arrivals_of if who[0] == name)
        document["key"] = [
            _of_subject(found, who, found.subjects.get(who, Tally())) for who in whose
        ]
    return document


def _of_subject(found: Comparison, who: tuple[bytes, str], tally: Tally) -> dict[str, Any]:
    tally.arrivals = found.arrivals_of[who]
    return {"subject": who[0].hex(), "product": who[1], **tally.document()}


def _moment(at_us: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_us // US_PER_S))


def words(document: dict[str, Any]) -> Iterable[str]:
    """The report for people."""
    fidelity = document["fidelity"]
    share = fidelity["agreed_share"]
    told = "too short to compare" if share is None else f"agrees with {share:.3%} of what was done"
    yield f"{document['arrivals']:,} arrivals from {document['from']} until {document['until']}"
    yield f"the plan in force, replayed: {told} ({fidelity['compared']:,} decisions)"
    for pair, count in list(fidelity["disagreed"].items())[:_MOST_SHOWN]:
        yield f"    {count:,} times {pair}"
    for reason, count in document["left_out"].items():
        yield f"left out: {count:,} ({reason})"
    yield ""
    yield _line(("PRODUCT", "TIER", "ARRIVALS", "REFUSED", "BY PLAN", "NEWLY", "SHARE", "LET IN"))
    for row in document["tiers"]:
        yield _row(row["product"], row["tier"], row)
    yield f"\n{document['subjects_newly_refused']:,} subjects would be refused that were not"
    for row in document["subjects"][:_MOST_SHOWN]:
        yield _row(row["product"], row["subject"], row)
    if document["worst_minutes"]:
        yield "\nworst minutes"
    for row in document["worst_minutes"]:
        yield f"{row['minute']}  {row['product']}  {row['newly_refused']:,} newly refused"
    if "key" in document:
        yield "\nthe key" if document["key"] else "\nthe key: nothing of it in the log"
    for row in document.get("key", ()):
        yield _row(row["product"], row["subject"], row)


def _row(product: str, who: str, row: dict[str, Any]) -> str:
    numbers = ("arrivals", "refused_in_force", "refused_by_plan", "newly_refused")
    told = [f"{row[name]:,}" for name in numbers]
    share = f"{row['newly_refused_share']:.2%}"
    return _line((product, who, *told, share, f"{row['newly_admitted']:,}"))


def _line(cells: tuple[str, ...]) -> str:
    return f"{cells[0]:<20}{cells[1]:<18}" + "".join(f"{each:>12}" for each in cells[2:])
