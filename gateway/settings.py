"""The one record of every knob: name, unit, default and reason; sole reader of the environment.

Refuses to start on a mistake, and reports all mistakes at once, each with the name of its setting.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import ConfigurationFault

PREFIX = "SLUICE_"
SERVICES = (
    "reader",
    "search",
    "deepsearch",
    "embeddings",
    "rerank",
    "classifier",
    "segmenter",
)
_MAX_PORT = 65_535
_MAX_WORKERS = 256
_LABEL = re.compile(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", re.I)
_KEY_PREFIX = re.compile(r"^[a-z][a-z0-9]{0,15}_$")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may differ between two deployments; see `knobs()` for the texts."""

    port: int
    bind: str
    ops_port: int
    ops_bind: str
    data_dir: Path
    database_url: str | None
    redis_url: str | None
    domain: str
    workers: int
    admin_token: str | None
    products: Path | None
    keys_per_address: int
    trusted_proxies: tuple[str, ...]
    service_urls: Mapping[str, str]
    key_prefix: str
    key_pepper: str | None
    internal_secret: str | None
    metrics_dir: Path
    node: str
    redis_deadline_ms: int
    postgres_deadline_ms: int
    ship_interval_ms: int
    header_deadline_ms: int
    body_deadline_ms: int
    drain_ms: int
    max_connections: int
    environ: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting: its environment name without the prefix, how it is read, and why it exists."""

    name: str
    attribute: str
    read: Callable[[str], Any]
    default: Any
    text: str


def _integer(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise ValueError(f"must be a whole number, not {text!r}") from None
        if not low <= number <= high:
            raise ValueError(f"must be between {low} and {high}, not {number}")
        return number

    return read


def _one_of_schemes(*schemes: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if urlsplit(text).scheme not in schemes:
            raise ValueError(f"must begin with one of {', '.join(f'{s}:' for s in schemes)}")
        return text

    return read


def _domain(text: str) -> str:
    if not _LABEL.match(text):
        raise ValueError(f"must be a host name such as example.com, not {text!r}")
    return text.lower()


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"must be an IP address, not {text!r}") from None


def _networks(text: str) -> tuple[str, ...]:
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        try:
            found.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            raise ValueError(f"must be CIDRs separated by commas; {part!r} is none") from None
    return tuple(found)


def _key_prefix(text: str) -> str:
    if not _KEY_PREFIX.match(text):
        raise ValueError("must be 1 to 16 lower-case letters or digits and end with an underscore")
    return text


def _secret(text: str) -> str:
    if len(text) < 16:
        raise ValueError("must have at least 16 characters")
    return text


def _readable_file(text: str) -> Path:
    path = Path(text)
    if not path.is_file():
        raise ValueError(f"names no readable file: {text}")
    return path


_PORT = _integer(0, _MAX_PORT)
_POSTGRES = _one_of_schemes("postgres", "postgresql")
_REDIS = _one_of_schemes("redis", "rediss", "unix")
_SERVICE = _one_of_schemes("http", "https", "unix")


def knobs() -> tuple[Knob, ...]:
    """Every setting in the order of `sluice doctor --settings`."""
    return (
        Knob("PORT", "port", _PORT, 8080, "port of the public listener"),
        Knob("BIND", "bind", _address, "127.0.0.1", "address of the public listener"),
        Knob("OPS_PORT", "ops_port", _PORT, 8081, "metrics, probes, admin API; never public"),
        Knob("OPS_BIND", "ops_bind", _address, "127.0.0.1", "address of the operations listener"),
        Knob("DATA_DIR", "data_dir", Path, Path(".sluice"), "embedded servers, spool, secrets"),
        Knob("DATABASE_URL", "database_url", _POSTGRES, None, "external PostgreSQL"),
        Knob("REDIS_URL", "redis_url", _REDIS, None, "external Redis, may be a cluster"),
        Knob("DOMAIN", "domain", _domain, "localhost", "public domain behind r., s., api."),
        Knob("WORKERS", "workers", _integer(1, _MAX_WORKERS), None, "gateway processes"),
        Knob("ADMIN_TOKEN", "admin_token", _secret, None, "bearer token of the admin API"),
        Knob("PRODUCTS", "products", _readable_file, None, "catalogue replacing the built-in one"),
        Knob("KEYS_PER_ADDRESS", "keys_per_address", _integer(0, 10**6), 5, "trial keys a day"),
        Knob("TRUSTED_PROXIES", "trusted_proxies", _networks, (), "CIDRs believed about clients"),
        Knob("KEY_PREFIX", "key_prefix", _key_prefix, "sluice_", "what every key begins with"),
        Knob("KEY_PEPPER", "key_pepper", _secret, None, "secret under which keys are hashed"),
        Knob("INTERNAL_SECRET", "internal_secret", _secret, None, "signs requests to services"),
        Knob("METRICS_DIR", "metrics_dir", Path, None, "where processes share their metrics"),
        Knob("NODE", "node", str, os.uname().nodename, "name of this machine in records"),
        # 250 ms: a healthy Redis answers in under 1 ms; past this a client would notice.
        Knob("REDIS_DEADLINE_MS", "redis_deadline_ms", _integer(5, 60_000), 250, "per command"),
        Knob("POSTGRES_DEADLINE_MS", "postgres_deadline_ms", _integer(10, 600_000), 2_000, "-"),
        # 20 ms: groups of some dozens at full load, and a balance that looks instant to a person.
        Knob("SHIP_INTERVAL_MS", "ship_interval_ms", _integer(1, 10_000), 20, "between shipments"),
        Knob("HEADER_DEADLINE_MS", "header_deadline_ms", _integer(100, 600_000), 30_000, "-"),
        Knob("BODY_DEADLINE_MS", "body_deadline_ms", _integer(100, 3_600_000), 120_000, "-"),
        Knob("DRAIN_MS", "drain_ms", _integer(0, 3_600_000), 30_000, "to finish at a stop"),
        Knob("MAX_CONNECTIONS", "max_connections", _integer(1, 10**6), 10_000, "per worker"),
    )


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting; raises ConfigurationFault with all mistakes, each with its name."""
    mistakes: list[str] = []
    table = _with_file(environ, mistakes)
    found: dict[str, Any] = {}
    known = {"CONFIG"}
    for knob in knobs():
        known.add(knob.name)
        found[knob.attribute] = _read(table, PREFIX + knob.name, knob.read, knob.default, mistakes)
    services: dict[str, str] = {}
    for service in SERVICES:
        name = f"SERVICE_{service.upper()}_URL"
        known.add(name)
        url = _read(table, PREFIX + name, _SERVICE, None, mistakes)
        if url is not None:
            services[service] = url
    found["service_urls"] = services
    _complain_of_unknown(environ, table, known, mistakes)
    if found.get("port") and found["port"] == found.get("ops_port"):
        mistakes.append("SLUICE_OPS_PORT must differ from SLUICE_PORT: it is never public")
    if mistakes:
        raise ConfigurationFault(mistakes)
    if found["workers"] is None:
        found["workers"] = os.cpu_count() or 1
    found["data_dir"] = found["data_dir"].absolute()
    found["metrics_dir"] = (found["metrics_dir"] or found["data_dir"] / "metrics").absolute()
    names = {f.name for f in fields(Settings)}
    # With what the file says, so that it reaches the processes that we start.
    return Settings(environ=dict(table), **{k: v for k, v in found.items() if k in names})


def process_environment() -> dict[str, str]:
    """A copy of the environment of this process; the only place that reads it."""
    return dict(os.environ)


# Settings that the services read; named here so that a typo in any SLUICE_ name is noticed.
_OF_SERVICES = (
    "READER_",
    "SEARCH_",
    "LLM_",
    "STRIPE_",
    "EMBEDDINGS_",
    "SEGMENTER_",
    "MODEL_",
    "SERVICE_",
    "TEST_",
)


def _complain_of_unknown(
    environ: Mapping[str, str], table: Mapping[str, str], known: set[str], mistakes: list[str]
) -> None:
    for name in sorted({*environ, *table}):
        short = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and short not in known and not short.startswith(_OF_SERVICES):
            mistakes.append(f"{name} is no setting; `sluice doctor --settings` lists them all")


def _with_file(environ: Mapping[str, str], mistakes: list[str]) -> Mapping[str, str]:
    path = environ.get(PREFIX + "CONFIG")
    if not path:
        return environ
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        mistakes.append(f"SLUICE_CONFIG: {path}: {error}")
        return environ
    merged = {}
    for key, value in content.items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        merged[PREFIX + key.upper().removeprefix(PREFIX)] = text
    # The environment wins, so that one value can be tried without editing the file.
    return {**merged, **environ}


def _read(
    table: Mapping[str, str],
    name: str,
    read: Callable[[str], Any],
    default: object,
    mistakes: list[str],
) -> Any:
    text = table.get(name, "").strip()
    if not text:
        return default
    try:
        return read(text)
    except ValueError as error:
        mistakes.append(f"{name} {error}")
        return None
