"""`sluice top`: what this machine's gateways do at the moment, from their metrics.

Refuses to keep anything: what it shows is the difference between two looks.
"""

import argparse
import asyncio
import sys
import time
from typing import Any, Final

import orjson

from gateway.commands.metrics_text import Between, Look, look
from gateway.commands.ports import reachable
from gateway.commands.small_http import ask, unanswered
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP: Final = "a live view of requests, refusals, tokens, latency and lag on this machine"
_HOME: Final = "\x1b[H\x1b[2J"
_FEWEST_S: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How often, and in which form."""
    parser.add_argument(
        "--interval", type=float, default=2.0, metavar="S", help="seconds: %(default)s"
    )
    parser.add_argument("--once", action="store_true", help="one interval, then stop")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; no screen")
    parser.epilog = (
        "Reads /metrics of the operations listener at SLUICE_OPS_BIND and SLUICE_OPS_PORT. Where "
        "the output is no terminal it is plain text, one block for each interval. HALF, 99 %: that "
        "part of the requests took at most so long; `-`: there was none. Lag: from an outcome to "
        "the ledger, of 99 %."
    )


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Until Ctrl-C, or after one interval; 0, or 2 when nobody answers."""
    if arguments.interval < _FEWEST_S:
        raise ConfigurationFault([f"--interval must be at least {_FEWEST_S} seconds"])
    try:
        asyncio.run(_run(settings, arguments))
    except KeyboardInterrupt:
        return 0
    return 0


async def _run(settings: Settings, arguments: argparse.Namespace) -> None:
    clears = sys.stdout.isatty() and not arguments.json and not arguments.once
    before = await _look(settings)
    while True:
        await asyncio.sleep(arguments.interval)
        try:
            after = await _look(settings)
        except ConfigurationFault as fault:
            if arguments.once:
                raise
            complain(fault.mistakes[0])
            continue
        found = seen(Between(before, after))
        if arguments.json:
            say(orjson.dumps(found).decode())
        else:
            say((_HOME if clears else "") + page(found))
        if arguments.once:
            return
        before = after


async def _look(settings: Settings) -> Look:
    host, port = reachable(settings.ops_bind), settings.ops_port
    try:
        reply = await ask(host, port, "GET", "/metrics")
    except OSError as error:
        raise ConfigurationFault([unanswered(host, port, error)]) from error
    return look(reply.body.decode("utf-8", "replace"), time.monotonic())


def seen(between: Between) -> dict[str, Any]:
    """Everything that is shown; rates are per second, times in milliseconds."""
    now = between.after
    products = {}
    for name in now.values("sluice_requests_total", "product"):
        outcomes = now.values("sluice_requests_total", "outcome")
        products[name] = {
            "requests_per_s": between.per_s("sluice_requests_total", product=name),
            "tokens_per_s": between.per_s("sluice_tokens_total", product=name),
            "p50_ms": _ms(between.quantile_s("sluice_request_seconds", 0.5, product=name)),
            "p99_ms": _ms(between.quantile_s("sluice_request_seconds", 0.99, product=name)),
            "outcomes_per_s": {
                each: rate
                for each in outcomes
                if (rate := between.per_s("sluice_requests_total", product=name, outcome=each))
            },
        }
    codes = now.values("sluice_refusals_total", "code")
    return {
        "gateways": now.total("sluice_gateways"),
        "gateways_wanted": now.total("sluice_gateways_wanted"),
        "requests_per_s": between.per_s("sluice_requests_total"),
        "tokens_per_s": between.per_s("sluice_tokens_total"),
        "refusals_per_s": {
            each: rate
            for each in codes
            if (rate := between.per_s("sluice_refusals_total", code=each))
        },
        "open_requests": now.total("sluice_open_requests"),
        "open_connections": now.total("sluice_open_connections"),
        "spool_depth": now.total("sluice_spool_depth"),
        "spool_bytes": now.total("sluice_spool_bytes"),
        "ship_lag_p99_ms": _ms(between.quantile_s("sluice_ship_lag_seconds", 0.99)),
        "shipped_per_s": between.per_s("sluice_shipped_outcomes_total"),
        "ship_failures_per_s": between.per_s("sluice_ship_failures_total"),
        "redis_failures_per_s": between.per_s("sluice_redis_failures_total"),
        "degraded_per_s": between.per_s("sluice_degraded_decisions_total"),
        "degraded": [
            name
            for name in now.values("sluice_condition", "name")
            if now.total("sluice_condition", name=name)
        ],
        "products": products,
    }


def page(found: dict[str, Any]) -> str:
    """As a person reads it."""
    lines = [
        f"gateways {found['gateways']:.0f} of {found['gateways_wanted']:.0f}"
        f"   open requests {found['open_requests']:.0f}"
        f"   connections {found['open_connections']:.0f}",
        f"spool    {found['spool_depth']:,.0f} outcomes, {found['spool_bytes']:,.0f} bytes"
        f"   lag 99 % {_time(found['ship_lag_p99_ms'])}"
        f"   shipped {found['shipped_per_s']:,.1f}/s",
        f"trouble  ledger {found['ship_failures_per_s']:.1f}/s"
        f"   redis {found['redis_failures_per_s']:.1f}/s"
        f"   without a store {found['degraded_per_s']:.1f}/s",
        f"degraded {', '.join(found['degraded']) or 'nothing'}",
        "",
        f"{'PRODUCT':<20}{'REQUESTS/S':>12}{'TOKENS/S':>14}{'HALF':>10}{'99 %':>10}",
    ]
    for name, each in found["products"].items():
        half, most = _time(each["p50_ms"]), _time(each["p99_ms"])
        lines.append(
            f"{name:<20}{each['requests_per_s']:>12,.1f}{each['tokens_per_s']:>14,.0f}"
            f"{half:>10}{most:>10}"
        )
    total = f"{'all':<20}{found['requests_per_s']:>12,.1f}{found['tokens_per_s']:>14,.0f}"
    lines += [total, "", f"{'REFUSED':<44}{'A SECOND':>10}"]
    for code, rate in sorted(found["refusals_per_s"].items(), key=lambda pair: -pair[1])[:10]:
        lines.append(f"{code:<44}{rate:>10,.1f}")
    if not found["refusals_per_s"]:
        lines.append("nobody")
    return "\n".join(lines)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or seconds == float("inf") else seconds * 1_000


def _time(ms: float | None) -> str:
    return "-" if ms is None else f"<{ms:,.0f} ms"
