"""Which models are deployed, and under which other names clients may ask for them.

It refuses a file with a mistake, all mistakes at once: a model without a kind, an alias that leads
nowhere, a folder and a server in one entry.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from services.models.faults import UnknownModel
from services.models.tables import Table
from services.settings import SettingsError

BUILT_IN: Final = Path(__file__).with_name("registry.toml")
MAX_TOKENS: Final = 8_192
IMAGE_TOKENS: Final = 1_000
REMOTE_DEADLINE_MS: Final = 30_000

Pooling = Literal["mean", "first"]


class RegistryError(SettingsError):
    """The registry has mistakes."""


@dataclass(frozen=True, slots=True)
class Local:
    """ONNX graphs in a folder; without a folder the built-in MiniLM."""

    name: str
    folder: Path | None
    window_tokens: int
    max_tokens: int
    pooling: Pooling
    image_tokens: int


@dataclass(frozen=True, slots=True)
class Remote:
    """A model of a server that speaks the embeddings API of OpenAI, or that of TEI."""

    name: str
    protocol: Literal["openai", "tei"]
    url: str
    remote_model: str
    dimension: int
    max_tokens: int
    api_key: str | None
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Registry:
    """The deployed models by name, and aliases to them."""

    models: Mapping[str, Local | Remote]
    aliases: Mapping[str, str]
    default: str

    def resolve(self, name: str | None) -> str:
        """The deployed model behind `name`; the default for None. Raises UnknownModel."""
        if name is None:
            return self.default
        found = self.aliases.get(name, name)
        if found not in self.models:
            raise UnknownModel(name, self.names)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that is understood: deployed models first, then aliases."""
        return (*self.models, *(alias for alias in self.aliases if alias not in self.models))


def load(path: Path | None) -> Registry:
    """The registry in the file, else the built-in one. Raises RegistryError.

    A file adds to the built-in entries, or replaces those of the same name.
    """
    raw = _raw(BUILT_IN)
    if path is not None:
        ours = _raw(path)
        raw = {
            "default": ours.get("default", raw["default"]),
            "models": {**raw["models"], **_tables(ours, "models")},
            "aliases": {**raw["aliases"], **_tables(ours, "aliases")},
        }
    return parse(raw)


def parse(raw: Mapping[str, Any]) -> Registry:
    """The registry in a parsed TOML file. Raises RegistryError."""
    mistakes: list[str] = []
    models: dict[str, Local | Remote] = {}
    for name, entry in raw["models"].items():
        if isinstance(entry, dict):
            models[name] = _model(name, Table(f"models.{name}", entry, mistakes))
        else:
            mistakes.append(f"models.{name} must be a table")
    aliases: dict[str, str] = {}
    for alias, target in raw["aliases"].items():
        if not isinstance(target, str) or target not in raw["models"]:
            mistakes.append(f"aliases.{alias} leads to {target!r}, which is no model")
        else:
            aliases[alias] = target
    default = raw["default"]
    if default not in raw["models"]:
        mistakes.append(f"default is {default!r}, which is no model")
    if mistakes:
        raise RegistryError(tuple(mistakes))
    return Registry(models, aliases, default)


def _model(name: str, table: Table) -> Local | Remote:
    kind = table.word("kind", ("built-in", "onnx", "openai", "tei"))
    max_tokens = table.number("max_tokens", MAX_TOKENS, 1, 1_000_000)
    if kind in ("openai", "tei"):
        entry: Local | Remote = Remote(
            name=name,
            protocol="tei" if kind == "tei" else "openai",
            url=table.origin("url"),
            remote_model=table.text("model", name),
            dimension=table.number("dimension", None, 1, 65_536),
            max_tokens=max_tokens,
            api_key=table.text("api_key", "") or None,
            deadline_ms=table.number("deadline_ms", REMOTE_DEADLINE_MS, 10, 600_000),
        )
    else:
        entry = Local(
            name=name,
            folder=table.folder("folder") if kind == "onnx" else None,
            window_tokens=table.number("window_tokens", 256, 8, 65_536),
            max_tokens=max_tokens,
            pooling="first" if table.word("pooling", ("mean", "first")) == "first" else "mean",
            image_tokens=table.number("image_tokens", IMAGE_TOKENS, 0, 1_000_000),
        )
    table.nothing_else()
    return entry


def _raw(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as fault:
        raise RegistryError((f"{path.name} cannot be read: {fault}",)) from fault


def _tables(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = raw.get(name, {})
    if not isinstance(found, dict):
        raise RegistryError((f"{name} must be a table",))
    return found
