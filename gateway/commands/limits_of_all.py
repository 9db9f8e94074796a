"""`sluice limits apply` and `reload`: another catalogue for the gateways of this machine.

1. `apply FILE --check` says whether FILE is right and may follow the file that SLUICE_PRODUCTS
   names, and compares the two; where it names none there is nothing to compare.
2. `apply FILE` puts it in that place in one step, and waits until every process has it.
3. `reload` only waits: for a file that somebody else has put there.

Refuses to put a file there that the gateways would refuse.
"""

import argparse
import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.commands.keys import Call, refused, send
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.products.builtin import judged, text_of, version_of
from gateway.products.offer import obstacles
from gateway.products.product import Catalogue, Limits
from gateway.settings import Settings

_TIERS: Final = ("anonymous", "key", "premium")
_CODES: Final = (
    "Exit code 0 when FILE is in force everywhere (--check: when it may be), 1 when it is not yet, "
    "2 when it is wrong or needs a restart, or when SLUICE_PRODUCTS is not set: then there is "
    "nothing to compare it with, and nothing to replace."
)


def add_actions(choose: Any) -> None:
    """`apply` and `reload`, beside the actions about one key."""
    text = "another catalogue for this machine, without a restart"
    apply = choose.add_parser("apply", help=text, description=f"{text}.", epilog=_CODES)
    apply.add_argument(
        "file", type=Path, metavar="FILE", help="what the file of SLUICE_PRODUCTS is to say"
    )
    apply.add_argument(
        "--check", action="store_true", help="only compare it with the file of SLUICE_PRODUCTS"
    )
    apply.add_argument("--json", action="store_true", help="print the answer as JSON")
    text = "look at the file of SLUICE_PRODUCTS now; say which version is in force where"
    reload = choose.add_parser("reload", help=text, description=f"{text}.")
    reload.add_argument("--json", action="store_true", help="print the answer as JSON")


def _apply(settings: Settings, arguments: argparse.Namespace) -> int:
    target = settings.products
    if target is None:
        raise ConfigurationFault([_nothing_named(arguments)])
    # Not a link to it.
    target = target.resolve()
    text, old = text_of(arguments.file), text_of(target)
    wanted, now = judged(arguments.file, text), judged(target, old)
    mistakes = obstacles(now, wanted)
    if mistakes:
        raise ConfigurationFault(mistakes)
    if arguments.check:
        say(f"now:  {version_of(old)} {target}, named by SLUICE_PRODUCTS")
        say(f"then: {version_of(text)} {arguments.file}")
        say("\n".join(changes(now, wanted)) or "no limit changes")
        return 0
    # In one step: a gateway finds the old text or the new one, never half of it.
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.chmod(target.stat().st_mode & 0o777)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigurationFault([f"{target} cannot be replaced: {error.strerror}"]) from error
    return _reload(settings, arguments)


def _nothing_named(arguments: argparse.Namespace) -> str:
    what = "compare it with" if arguments.check else "replace"
    return (
        f"{arguments.file}: nothing to {what}: SLUICE_PRODUCTS is not set here, and without it a "
        "gateway has the built-in catalogue until it is restarted with SLUICE_PRODUCTS"
    )


def _reload(settings: Settings, arguments: argparse.Namespace) -> int:
    status, found = asyncio.run(send(settings, Call("POST", "/admin/catalogue/reload", {})))
    if status != 200:
        return refused(status, found)
    if arguments.json:
        say(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for each in found["processes"]:
            say(f"{each['version']}  {each['process']}")
    if not found["everywhere"]:
        complain(f"not every process has {found['version']} yet: ask again, or look at its log")
        return 1
    return 0


def changes(now: Catalogue, wanted: Catalogue) -> list[str]:
    """One line for each limit that would be another."""
    lines = []
    for name, product in wanted.products.items():
        before = now.products[name]
        for tier in _TIERS:
            old, new = getattr(before, tier), getattr(product, tier)
            if old != new:
                lines.append(f"{name}.{tier}: {_words(old)} -> {_words(new)}")
        for field in ("deadline_ms", "first_byte_ms", "block_tokens", "added_tokens"):
            if getattr(before, field) != getattr(product, field):
                lines.append(
                    f"{name}.{field}: {getattr(before, field)} -> {getattr(product, field)}"
                )
    return lines


def _words(limits: Limits) -> str:
    tpm = "-" if limits.tpm is None else f"{limits.tpm:,}"
    text = f"rpm {limits.rpm:,}, tpm {tpm}, at once {limits.concurrency:,}"
    return text if limits.shadow is None else f"{text}, {limits.shadow}"


ACTIONS: Final[dict[str, Callable[[Settings, argparse.Namespace], int]]] = {
    "apply": _apply,
    "reload": _reload,
}
