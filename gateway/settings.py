"""The one record of settings, read from the environment and a TOML file; see `knobs` for the table.

Refuses to start on a mistake, and reports all mistakes at once, each with the name of its setting.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gateway.errors import ConfigurationFault
from gateway.knobs import CONFIG, PREFIX, SERVICES, Knob, knobs

__all__ = [
    "PREFIX",
    "SERVICES",
    "Knob",
    "Settings",
    "knobs",
    "load_settings",
    "process_environment",
]

Table = Mapping[str, str]
_OFTEN_MEANT = 0.7


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that may differ between two deployments; see `knobs()` for the texts."""

    port: int
    bind: str
    ops_port: int
    ops_bind: str
    data_dir: Path
    database_url: str | None = field(repr=False)
    redis_url: str | None = field(repr=False)
    domain: str
    workers: int
    admin_token: str | None = field(repr=False)
    products: Path | None
    keys_per_address: int
    trusted_proxies: tuple[str, ...]
    service_urls: Mapping[str, str]
    key_prefix: str
    key_pepper: str | None = field(repr=False)
    internal_secret: str | None = field(repr=False)
    metrics_dir: Path
    node: str
    redis_deadline_ms: int
    postgres_deadline_ms: int
    ship_interval_ms: int
    header_deadline_ms: int
    body_deadline_ms: int
    drain_ms: int
    lame_duck_ms: int
    max_connections: int
    service_requests: int
    stripe_secret_key: str | None = field(repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(repr=False)
    stripe_deadline_ms: int
    stripe_api_base: str | None
    stripe_automatic_tax: bool
    packs: Path | None
    billing_success_url: str | None
    billing_cancel_url: str | None
    notify_allow: tuple[str, ...]
    reconcile_every_ms: int
    disk_reserve_bytes: int
    canary_every_ms: int
    canary_keys_every_ms: int
    canary_products: tuple[str, ...]
    canary_door: str | None
    canary_page: str | None
    arrivals_mib: int
    arrivals_days: int
    log_format: str
    access_log: int
    otlp_url: str | None
    trace_one_in: int
    web_url: str | None
    security_contact: str | None
    smtp_url: str | None = field(repr=False)
    mail_from: str | None
    oidc_issuer: str | None
    oidc_client_id: str | None
    oidc_client_secret: str | None = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)


def load_settings(environ: Table) -> Settings:
    """Read every setting; raises ConfigurationFault with all mistakes, each with its name."""
    mistakes: list[str] = []
    table = _with_file(environ, mistakes)
    found: dict[str, Any] = {}
    services: dict[str, str] = {}
    for knob in knobs():
        value = _read(table, knob, mistakes)
        if knob.attribute is not None:
            found[knob.attribute] = value
        elif knob.name.startswith("SERVICE_") and value is not None:
            services[knob.name.removeprefix("SERVICE_").removesuffix("_URL").lower()] = value
    found["service_urls"] = services
    _complain_of_unknown(table, mistakes)
    if found["port"] and found["port"] == found["ops_port"]:
        mistakes.append("SLUICE_OPS_PORT must differ from SLUICE_PORT: it is never public")
    for wants, needs in (("smtp_url", "mail_from"), ("oidc_issuer", "oidc_client_id")):
        if found[wants] is not None and found[needs] is None:
            mistakes.append(f"SLUICE_{wants.upper()} needs SLUICE_{needs.upper()} beside it")
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


def _complain_of_unknown(table: Table, mistakes: list[str]) -> None:
    known = [knob.name for knob in knobs()]
    for name in sorted(table):
        short = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and short not in known:
            meant = get_close_matches(short, known, 1, _OFTEN_MEANT)
            hint = "`sluice doctor --settings` lists them all"
            if meant:
                hint = f"is {PREFIX}{meant[0]} meant?"
            mistakes.append(f"{name} is no setting; {hint}")


def _with_file(environ: Table, mistakes: list[str]) -> Table:
    path = environ.get(PREFIX + CONFIG, "").strip()
    if not path:
        return environ
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(f"SLUICE_CONFIG names no readable file: {path}: {error.strerror}")
        return environ
    except ValueError as error:
        mistakes.append(f"SLUICE_CONFIG: {path} is no TOML: {error}")
        return environ
    found: dict[str, str] = {}
    for key, value in content.items():
        name = PREFIX + key.upper().removeprefix(PREFIX)
        text = _text_of(value)
        if text is None:
            mistakes.append(f"{name} in {path} must be a text, a whole number or a list of texts")
        elif name == PREFIX + CONFIG or name in found:
            mistakes.append(
                f"{name} stands twice" if name in found else f"{name} is in its own file"
            )
        else:
            found[name] = text
    # The environment wins, so that one value can be tried without editing the file.
    return {**found, **environ}


def _text_of(value: object) -> str | None:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    is_plain = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_plain else None


def _read(table: Table, knob: Knob, mistakes: list[str]) -> Any:
    text = table.get(PREFIX + knob.name, "").strip()
    if not text:
        return knob.default
    try:
        return knob.read(text)
    except ValueError as error:
        mistakes.append(f"{PREFIX}{knob.name} {error}")
        return None
