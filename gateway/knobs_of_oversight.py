"""Settings of what watches over the books: attribute, how it is read, default, reason.

Refuses to build the records: `knobs` does, with all the others.
"""

from collections.abc import Callable
from typing import Any, Final

from gateway.knob_readers import integer, log_form, page_origin, service_url, texts, word
from gateway.units import MIB

OversightKnob = tuple[str, str, Callable[[str], Any], Any, str, str]
_DAY_MS: Final = 86_400_000

OVERSIGHT: Final[tuple[OversightKnob, ...]] = (
    (
        "RECONCILE_EVERY_MS",
        "reconcile_every_ms",
        integer(0, _DAY_MS),
        3_600_000,
        "milliseconds between proofs of what was posted today; also one of everything a night; "
        "0: only when asked",
        "",
    ),
    (
        "DISK_RESERVE_BYTES",
        "disk_reserve_bytes",
        integer(0, 1 << 50),
        256 * MIB,
        "bytes on the disk of DATA_DIR below which it is nearly full: no request with a key is let "
        "in then while PostgreSQL is away too; some 600 000 outcomes",
        "",
    ),
    (
        "CANARY_EVERY_MS",
        "canary_every_ms",
        integer(0, _DAY_MS),
        60_000,
        "milliseconds between rounds of the canary, a customer of our own; 0: never",
        "",
    ),
    (
        "CANARY_KEYS_EVERY_MS",
        "canary_keys_every_ms",
        integer(1_000, _DAY_MS),
        3_600_000,
        "milliseconds between its checks of limits and revocation, each with a key of its own",
        "",
    ),
    (
        "CANARY_PRODUCTS",
        "canary_products",
        texts,
        (),
        "products with commas that it tries; a search may cost you money at its provider",
        "all",
    ),
    (
        "CANARY_DOOR",
        "canary_door",
        service_url,
        None,
        "address of the front door as customers reach it",
        "our own listener",
    ),
    (
        "CANARY_PAGE",
        "canary_page",
        word,
        None,
        "page that it reads; `up` has one of its own",
        "https://example.com/",
    ),
    (
        "ARRIVALS_MIB",
        "arrivals_mib",
        integer(0, 2**20),
        1_024,
        "MiB that the arrival log of this machine may take, the oldest goes first; `sluice "
        "simulate-limits` replays it; 0: none is kept",
        "",
    ),
    (
        "ARRIVALS_DAYS",
        "arrivals_days",
        integer(1, 366),
        8,
        "days that it is kept",
        "",
    ),
    (
        "LOG_FORMAT",
        "log_format",
        log_form,
        "auto",
        "log lines as text or json; auto: text on a terminal, else json",
        "",
    ),
    (
        "ACCESS_LOG",
        "access_log",
        integer(0, 10**6),
        0,
        "one of so many requests is told in the log, and each that ended in 5xx; 0: none",
        "",
    ),
    (
        "OTLP_URL",
        "otlp_url",
        page_origin,
        None,
        "origin of an OpenTelemetry collector (OTLP over HTTP) that gets traces; needs `otel`",
        "",
    ),
    (
        "TRACE_ONE_IN",
        "trace_one_in",
        integer(1, 10**6),
        100,
        "one of so many requests to a product is traced, whatever their clients ask for",
        "",
    ),
)
