"""`sluice limits`: what a key may use in any 60 s, and to change it for one key or for a tier.

Refuses to guess a key: it wants the id, which `sluice keys find` tells.
"""

import argparse
import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.commands import limits_of_all
from gateway.commands.keys import Call, refused, send
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.products.builtin import load_catalogue
from gateway.products.product import Catalogue
from gateway.settings import Settings

HELP: Final = "what a key or a tier may use in any 60 s: show it, change it, try it in shadow"
_NAMES: Final = ("rpm", "tpm", "concurrency")
_TRIED: Final = tuple(f"shadow_{name}" for name in _NAMES)
_EXAMPLES: Final = """\
examples:
  sluice limits show key_3rXk0000abc
  sluice limits set key_3rXk0000abc embeddings --rpm 10 --tpm 2000
  sluice limits reset key_3rXk0000abc embeddings
  sluice limits set key_3rXk0000abc embeddings --shadow-rpm 5
  sluice limits reset key_3rXk0000abc
  sluice limits apply products.toml --check
  sluice limits apply products.toml
  sluice limits reload

Of a key: in force on every node with the answer. `-` is no limit; a star marks what is its own.
A --shadow limit is only tried, and never refuses: see the metrics sluice_shadow_*.
Of a tier, `apply` and `reload`: on this machine; what was used stays used.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with which key, for which product."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    choose = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (
        ("show", "every product: what this key may use"),
        ("set", "limits of this key for one product; what is not named stays its tier's"),
        ("reset", "back to the tier's, for one product or for all"),
    ):
        made = choose.add_parser(name, help=text, description=f"{text}.")
        made.add_argument("key_id", metavar="KEY_ID", help="such as key_3rXk0000abc")
        if name != "show":
            made.add_argument("product", nargs=None if name == "set" else "?")
        if name == "set":
            made.add_argument("--rpm", type=int, metavar="N", help="requests in any 60 s")
            made.add_argument("--tpm", type=int, metavar="N", help="tokens in any 60 s")
            made.add_argument("--concurrency", type=int, metavar="N", help="requests at once")
            for each in _NAMES:
                made.add_argument(f"--shadow-{each}", type=int, metavar="N", help="only tried")
        made.add_argument("--json", action="store_true", help="print the limits as JSON")
    limits_of_all.add_actions(choose)


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the limits as they are then; 0, or 1 with the reason."""
    if arguments.action in limits_of_all.ACTIONS:
        return limits_of_all.ACTIONS[arguments.action](settings, arguments)
    path = f"/admin/keys/{quote(arguments.key_id, safe='')}"
    call = Call("GET", path)
    if arguments.action != "show":
        call = Call("PUT", f"{path}/limits", _wanted(arguments))
    status, document = asyncio.run(send(settings, call))
    if status >= 300:
        return refused(status, document)
    found = effective(load_catalogue(settings.products), document)
    if arguments.json:
        say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        say(table(found))
    if status == 202:
        complain(document["note"])
    return 0


def _wanted(arguments: argparse.Namespace) -> object:
    if arguments.action == "reset":
        return None if arguments.product is None else {arguments.product: None}
    names = (*_NAMES, *_TRIED)
    named = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    if not named:
        text = "name at least one of --rpm, --tpm, --concurrency, or one of them in shadow"
        raise ConfigurationFault([text])
    return {arguments.product: named}


def effective(catalogue: Catalogue, key: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By product: each limit, and the names of those that are the key's own."""
    found: dict[str, dict[str, Any]] = {}
    for name, product in catalogue.products.items():
        tier = product.premium if key["tier"] == "premium" else product.key
        own = key.get("limits", {}).get(name) or {}
        theirs = {each: own[each] for each in _NAMES if own.get(each) is not None}
        usual = {each: getattr(tier, each) for each in _NAMES}
        shadows = {each: own.get(f"shadow_{each}") for each in _NAMES}
        tried = {each: number for each, number in shadows.items() if number is not None}
        found[name] = {**usual, **theirs, "own": sorted(theirs), "own_shadow": tried}
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """One line a product; behind it what is tried on this key in shadow."""
    lines = [f"{'PRODUCT':<20}{'RPM':>12}{'TPM':>16}{'AT ONCE':>12}"]
    for product, limits in found.items():
        rpm, tpm, at_once = (_shown(limits, name) for name in _NAMES)
        tried = ", ".join(f"{name} {number:,}" for name, number in limits["own_shadow"].items())
        shadow = f"   in shadow: {tried}" if tried else ""
        lines.append(f"{product:<20}{rpm:>12}{tpm:>16}{at_once:>12}{shadow}")
    return "\n".join(lines)


def _shown(limits: Mapping[str, Any], name: str) -> str:
    star = "*" if name in limits["own"] else ""
    return f"{limits[name]:,}{star}" if limits[name] is not None else f"-{star}"
