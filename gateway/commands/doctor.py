"""`sluice doctor`: can it run here? One line per check, and for each wrong one what to do.

Refuses to change anything, and to stop at the first thing that is wrong.
"""

import argparse
import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from gateway.billing.pack_file import load_packs
from gateway.commands.examine_machine import examine_machine
from gateway.commands.examine_servers import examine_postgres, examine_redis
from gateway.commands.finding import Finding, fine, wrong
from gateway.commands.terminal import say
from gateway.conditions import Conditions
from gateway.control.readiness import troubles_of_machine
from gateway.control.reload import in_force
from gateway.errors import ConfigurationFault
from gateway.products.builtin import load_catalogue, text_of, version_of
from gateway.settings import PREFIX, Settings, knobs, load_settings

HELP = "check this machine and external servers; say in one line each what is wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--settings."""
    parser.add_argument(
        "--settings", action="store_true", help="list every setting with its default, and stop"
    )
    parser.epilog = "Exit code 0 when everything is ok, else 1."


def execute(environ: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print the findings (or the settings); 0 if all are ok, else 1."""
    if arguments.settings:
        say("\n".join(_settings_lines()))
        return 0
    everything_ok = True
    for finding in _examine(environ):
        say(str(finding))
        everything_ok = everything_ok and finding.ok
    return 0 if everything_ok else 1


def _examine(environ: Mapping[str, str]) -> Iterable[Finding]:
    try:
        settings = load_settings(environ)
    except ConfigurationFault as fault:
        yield from (wrong("settings", mistake) for mistake in fault.mistakes)
        return
    yield fine("settings", "valid")
    yield _catalogue(settings)
    yield _packs(settings)
    yield from examine_machine(settings)
    yield from _running(settings)
    if settings.database_url is not None:
        yield from asyncio.run(examine_postgres(settings))
    if settings.redis_url is not None:
        yield from asyncio.run(examine_redis(settings))


def _running(settings: Settings) -> Iterator[Finding]:
    """What the processes that run here say of themselves, as /ready has it."""
    with suppress(OSError):
        if settings.metrics_dir.is_dir():
            found = troubles_of_machine(Conditions(), settings.metrics_dir, "")
            for name, why in sorted(found.items()):
                yield wrong(name, f"{why}: ops/runbook.md, When something is down")


def _catalogue(settings: Settings) -> Finding:
    try:
        catalogue = load_catalogue(settings.products)
    except ConfigurationFault as fault:
        return wrong("products", "; ".join(fault.mistakes))
    version = version_of(text_of(settings.products))
    others = {each.version for each in in_force(settings.metrics_dir)} - {version}
    if others:
        text = f"{', '.join(sorted(others))} is in force in a process and the file says {version}"
        return wrong("products", f"{text}: `sluice limits reload` tells why")
    return fine("products", f"{len(catalogue.products)} in the catalogue {version}")


def _packs(settings: Settings) -> Finding:
    try:
        packs = load_packs(settings.packs)
    except ConfigurationFault as fault:
        return wrong("packs", "; ".join(fault.mistakes))
    if settings.stripe_secret_key is None:
        return fine("packs", f"{len(packs.packs)}, not sold: SLUICE_STRIPE_SECRET_KEY is not set")
    return fine("packs", f"{len(packs.packs)} in {', '.join(packs.currencies)}")


def _settings_lines() -> Iterable[str]:
    for knob in knobs():
        yield f"{PREFIX}{knob.name:<22} {knob.default_text:<24} {knob.text}"
