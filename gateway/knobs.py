"""The table of every setting: name, how it is read, default, unit and the reason that it exists.

Refuses to read the environment; `settings` does, with this table.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.knob_readers import (
    address,
    domain,
    folder,
    integer,
    key_prefix,
    networks,
    port,
    postgres_url,
    readable_file,
    redis_url,
    secret,
    secrets_of_rotation,
    service_url,
    word,
)
from gateway.knobs_of_billing import BILLING
from gateway.knobs_of_oversight import OVERSIGHT
from gateway.knobs_of_services import HANDED_ON
from gateway.knobs_of_web import WEB

PREFIX: Final = "SLUICE_"
CONFIG: Final = "CONFIG"
SERVICES: Final = (
    "reader",
    "search",
    "deepsearch",
    "embeddings",
    "rerank",
    "classifier",
    "segmenter",
)
_MAX_WORKERS: Final = 256
_HOUR_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting: its name without the prefix, how it is read, and why it exists.

    `attribute` None: it is handed on to the services, which read it themselves. `shown` is the
    default in words where the value does not speak for itself.
    """

    name: str
    attribute: str | None
    read: Callable[[str], Any]
    default: Any
    text: str
    shown: str = ""

    @property
    def default_text(self) -> str:
        """The default as a person reads it."""
        if self.shown:
            return self.shown
        return "none" if self.default in (None, (), "") else str(self.default)


def knobs() -> tuple[Knob, ...]:
    """Every setting, in the order of `sluice doctor --settings`."""
    return (
        *_doors(),
        *_stores(),
        *_keys(),
        *_times(),
        *_stops(),
        *_addresses(),
        *_handed_on(),
        *_billing(),
        *_oversight(),
        *_web(),
        _config(),
    )


def _doors() -> tuple[Knob, ...]:
    workers = integer(1, _MAX_WORKERS)
    return (
        Knob("PORT", "port", port, 8080, "port of the public listener; 0: any free one"),
        Knob("BIND", "bind", address, "127.0.0.1", "IP address of the public listener"),
        Knob(
            "OPS_PORT",
            "ops_port",
            port,
            8081,
            "port of metrics, probes and the admin API; never public; 0: any free one",
        ),
        Knob("OPS_BIND", "ops_bind", address, "127.0.0.1", "IP address of that listener"),
        Knob(
            "DOMAIN", "domain", domain, "localhost", "public domain behind r., s., api. and so on"
        ),
        Knob(
            "WORKERS", "workers", workers, None, "gateway processes on this machine", "one per core"
        ),
        Knob(
            "MAX_CONNECTIONS",
            "max_connections",
            integer(1, 10**6),
            10_000,
            "client connections of one gateway process; each costs a file and some 30 KB",
        ),
        Knob(
            "SERVICE_REQUESTS",
            "service_requests",
            integer(1, 10**6),
            1_000,
            "requests of one service at once in one gateway process, so that a slow service takes "
            "no room from the others; beyond it 503",
        ),
        Knob(
            "TRUSTED_PROXIES",
            "trusted_proxies",
            networks,
            (),
            "CIDRs with commas, of proxies whose X-Forwarded-For is believed",
        ),
        Knob("NODE", "node", word, os.uname().nodename, "name of this machine in records"),
    )


def _stores() -> tuple[Knob, ...]:
    return (
        Knob(
            "DATA_DIR",
            "data_dir",
            folder,
            Path(".sluice"),
            "folder of embedded servers, spool, secrets, metrics; on a disk that keeps",
        ),
        Knob(
            "METRICS_DIR",
            "metrics_dir",
            folder,
            None,
            "folder where the processes of this machine share their metrics; may be in memory",
            "DATA_DIR/metrics",
        ),
        Knob("DATABASE_URL", "database_url", postgres_url, None, "external PostgreSQL", "embedded"),
        Knob(
            "REDIS_URL",
            "redis_url",
            redis_url,
            None,
            "external Redis; of a cluster several servers with commas, as any of them may be away",
            "embedded",
        ),
        Knob(
            "PRODUCTS",
            "products",
            readable_file,
            None,
            "TOML catalogue that replaces the built-in one",
            "built in",
        ),
    )


def _keys() -> tuple[Knob, ...]:
    made = "made at the first start"
    return (
        Knob(
            "KEYS_PER_ADDRESS",
            "keys_per_address",
            integer(0, 10**6),
            5,
            "trial keys that one address (IPv6: one /64) may mint in 24 hours; 0: nobody may",
        ),
        Knob("KEY_PREFIX", "key_prefix", key_prefix, "sluice_", "what every key begins with"),
        Knob(
            "KEY_PEPPER",
            "key_pepper",
            secrets_of_rotation,
            None,
            "secret under which keys are hashed; behind commas earlier ones, under which keys are "
            "found as well; without it they are unknown",
            made,
        ),
        Knob("ADMIN_TOKEN", "admin_token", secret, None, "bearer token of the admin API", made),
        Knob(
            "INTERNAL_SECRET",
            "internal_secret",
            secrets_of_rotation,
            None,
            "secret that signs requests to the services, the same on both sides; behind commas "
            "others that the services accept as well",
            made,
        ),
    )


def _times() -> tuple[Knob, ...]:
    return (
        Knob(
            "REDIS_DEADLINE_MS",
            "redis_deadline_ms",
            integer(5, 60_000),
            250,
            "milliseconds for a command; a healthy Redis takes 1, past this a client would notice",
        ),
        Knob(
            "POSTGRES_DEADLINE_MS",
            "postgres_deadline_ms",
            integer(10, 600_000),
            2_000,
            "milliseconds for a statement, so that a frozen PostgreSQL becomes a 503 in time",
        ),
        Knob(
            "SHIP_INTERVAL_MS",
            "ship_interval_ms",
            integer(1, 10_000),
            20,
            "milliseconds between shipments to the ledger: short to a person, a group under load",
        ),
        Knob(
            "HEADER_DEADLINE_MS",
            "header_deadline_ms",
            integer(100, 600_000),
            30_000,
            "milliseconds for a request's head, so that nobody holds connections by trickling",
        ),
        Knob(
            "BODY_DEADLINE_MS",
            "body_deadline_ms",
            integer(100, _HOUR_MS),
            120_000,
            "milliseconds for a request's body that has to be whole before it is forwarded",
        ),
    )


def _stops() -> tuple[Knob, ...]:
    return (
        Knob(
            "DRAIN_MS",
            "drain_ms",
            integer(0, _HOUR_MS),
            30_000,
            "milliseconds that running requests get to finish at a stop",
        ),
        Knob(
            "LAME_DUCK_MS",
            "lame_duck_ms",
            integer(0, _HOUR_MS),
            0,
            "milliseconds that a node which is told to stop goes on serving while /ready says no; "
            "behind a balancer more than it needs to notice",
        ),
    )


def _addresses() -> tuple[Knob, ...]:
    return tuple(
        Knob(
            f"SERVICE_{name.upper()}_URL",
            None,
            service_url,
            None,
            f"http:, https: or unix: address where {name} is served",
            "started by `up`",
        )
        for name in SERVICES
    )


def _handed_on() -> tuple[Knob, ...]:
    return tuple(Knob(name, None, word, None, text, shown) for name, shown, text in HANDED_ON)


def _billing() -> tuple[Knob, ...]:
    return tuple(Knob(*words) for words in BILLING)


def _oversight() -> tuple[Knob, ...]:
    return tuple(Knob(*words) for words in OVERSIGHT)


def _web() -> tuple[Knob, ...]:
    return tuple(Knob(*words) for words in WEB)


def _config() -> Knob:
    return Knob(CONFIG, None, word, None, "a TOML file with settings; the environment wins")
