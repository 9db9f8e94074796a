"""One frozen record of every knob of the services; the only reader of their environment.

It refuses to return with a mistake: all of them are reported at once, each with its name.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services import deepsearch_settings, search_settings

PREFIX: Final = "SLUICE_"
# The first is the default: text on a terminal, else JSON.
LOG_FORMATS: Final = ("auto", "text", "json")
DEFAULT_PORTS: Final = {"http": 80, "https": 443}

# HMAC-SHA256 gains nothing from a longer key; a shorter one could be guessed offline.
SECRET_MIN_CHARACTERS: Final = 16

# A browser's 30 s patience, which is also what the published reader waits.
READER_TIMEOUT_MS: Final = 30_000
# X-Timeout is clamped to this by the wire contract.
READER_TIMEOUT_MAX_MS: Final = 180_000
# Decoded bytes of one page. The largest article pages seen are about 5 MB; beyond this a page is
# a download, and the extractor would spend seconds on it.
READER_PAGE_BYTES: Final = 16 * 1024 * 1024
# The published limit of an upload to the reader.
READER_BODY_BYTES: Final = 102 * 1024 * 1024
# Address space of one extraction worker; the libraries alone map about 300 MB.
READER_WORKER_BYTES: Final = 1536 * 1024 * 1024
# Extraction takes 30 ms for a usual page; a page that needs longer than this is an attack.
READER_EXTRACT_MS: Final = 20_000
# Pages kept on disk so that one that many ask for is fetched once an hour; 0 keeps none.
READER_CACHE_BYTES: Final = 512 * 1024 * 1024
# A page of a real browser takes 100-200 MB while it is open.
READER_BROWSER_PAGES: Final = 2
# 64k characters of four bytes each, escaped as JSON twelve bytes a pair: the largest honest body.
SEGMENTER_BODY_BYTES: Final = 1024 * 1024
# 1,024 inputs of 8,192 tokens are about 36 MB of English text; the catalogue's cap is the same.
MODEL_BODY_BYTES: Final = 64 * 1024 * 1024
# The published limit of one image.
IMAGE_BYTES: Final = 8 * 1024 * 1024
# Above what a camera takes; a picture of this size needs 200 MB once it is opened.
IMAGE_PIXELS: Final = 50_000_000


class SettingsError(Exception):
    """The settings have mistakes."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = tuple(mistakes)


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what the SSRF guard lets through as a whole or not at all."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Every knob of the services. Times in milliseconds, sizes in bytes."""

    internal_secret: bytes
    accepted_secrets: tuple[bytes, ...]
    domain: str
    log_format: str
    key_prefix: str
    gateway_origins: frozenset[Origin]
    reader_allow: frozenset[Origin]
    reader_workers: int
    reader_timeout_ms: int
    reader_timeout_max_ms: int
    reader_page_bytes: int
    reader_body_bytes: int
    reader_worker_bytes: int
    reader_extract_ms: int
    reader_user_agent: str
    reader_cache_bytes: int
    reader_browser: str
    reader_browser_pages: int
    reader_vision_url: str
    reader_vision_key: str
    reader_vision_model: str
    segmenter_body_bytes: int
    database_url: str | None
    data_dir: Path
    models_file: Path | None
    model_threads: int
    model_body_bytes: int
    image_bytes: int
    image_pixels: int
    search: search_settings.SearchSettings
    deepsearch: deepsearch_settings.DeepsearchSettings


def from_environment() -> Settings:
    """The settings of this process. Raises SettingsError with every mistake."""
    return load(os.environ)


def load(environment: Mapping[str, str]) -> Settings:
    """The settings in `environment`. Raises SettingsError with every mistake."""
    source = _Source(environment)
    secrets = source.secrets("INTERNAL_SECRET")
    settings = Settings(
        internal_secret=secrets[0],
        accepted_secrets=secrets,
        domain=source.word("DOMAIN", "localhost").lower(),
        log_format=source.one_of("LOG_FORMAT", LOG_FORMATS),
        key_prefix=source.word("KEY_PREFIX", "sluice_"),
        gateway_origins=_gateway_origins(source),
        reader_allow=source.origins("READER_ALLOW"),
        reader_workers=source.number("READER_WORKERS", os.cpu_count() or 1, 1, 256),
        reader_timeout_ms=source.number("READER_TIMEOUT_MS", READER_TIMEOUT_MS, 100, 180_000),
        reader_timeout_max_ms=READER_TIMEOUT_MAX_MS,
        reader_page_bytes=source.number(
            "READER_PAGE_BYTES", READER_PAGE_BYTES, 64 * 1024, 256 * 1024 * 1024
        ),
        reader_body_bytes=source.number("READER_BODY_BYTES", READER_BODY_BYTES, 65_536, 1024**3),
        reader_worker_bytes=source.number(
            "READER_WORKER_BYTES", READER_WORKER_BYTES, 512 * 1024 * 1024, 64 * 1024**3
        ),
        reader_extract_ms=source.number("READER_EXTRACT_MS", READER_EXTRACT_MS, 100, 180_000),
        reader_user_agent=source.word(
            "READER_USER_AGENT", "Mozilla/5.0 (compatible; SluiceReader/1.0)"
        ),
        reader_cache_bytes=source.number(
            "READER_CACHE_BYTES", READER_CACHE_BYTES, 0, 1024 * 1024**3
        ),
        reader_browser=source.word("READER_BROWSER", ""),
        reader_browser_pages=source.number("READER_BROWSER_PAGES", READER_BROWSER_PAGES, 1, 64),
        reader_vision_url=source.word("READER_VISION_URL", ""),
        reader_vision_key=source.word("READER_VISION_KEY", ""),
        reader_vision_model=source.word("READER_VISION_MODEL", ""),
        segmenter_body_bytes=source.number(
            "SEGMENTER_BODY_BYTES", SEGMENTER_BODY_BYTES, 1024, 64 * 1024 * 1024
        ),
        database_url=source.word("DATABASE_URL", "") or None,
        data_dir=Path(source.word("DATA_DIR", ".sluice")).absolute(),
        models_file=source.path("MODELS_FILE"),
        model_threads=source.number("MODEL_THREADS", os.cpu_count() or 1, 1, 256),
        model_body_bytes=source.number("MODEL_BODY_BYTES", MODEL_BODY_BYTES, 65_536, 1024**3),
        image_bytes=source.number("IMAGE_BYTES", IMAGE_BYTES, 1024, 256 * 1024 * 1024),
        image_pixels=source.number("IMAGE_PIXELS", IMAGE_PIXELS, 1024, 1_000_000_000),
        search=search_settings.read(source),
        deepsearch=deepsearch_settings.read(source),
    )
    source.raise_mistakes()
    return settings


def parse_origin(text: str) -> Origin | str:
    """The origin written as `http://127.0.0.1:9000`, or the sentence that says what is wrong."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return f"{text!r} is not an origin such as http://127.0.0.1:9000"
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        return f"{text!r} is not an origin such as http://127.0.0.1:9000"
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        return f"{text!r} has more than scheme, host and port"
    return Origin(parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme])


def _gateway_origins(source: "_Source") -> frozenset[Origin]:
    """The public doors of this deployment on this machine: a target there would be a circle."""
    port = source.number("PORT", 8080, 1, 65_535)
    bind = source.word("BIND", "127.0.0.1")
    hosts = {bind, "localhost", "127.0.0.1", "::1"} - {"0.0.0.0", "::"}  # noqa: S104 - removed
    return frozenset(Origin("http", host, port) for host in hosts)


class _Source:
    """Reads single values and collects the mistakes."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.mistakes: list[str] = []

    def raise_mistakes(self) -> None:
        if self.mistakes:
            # One setting may be of use to several parts; its mistake is told once.
            raise SettingsError(list(dict.fromkeys(self.mistakes)))

    def word(self, name: str, default: str) -> str:
        return self._environment.get(PREFIX + name, "").strip() or default

    def path(self, name: str) -> Path | None:
        text = self.word(name, "")
        return Path(text).absolute() if text else None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.word(name, "")
        if not text:
            return default
        return self._checked(name, text, lambda value: _in_range(value, least, most), default)

    def one_of(self, name: str, words: tuple[str, ...]) -> str:
        def check(text: str) -> int | str:
            return words.index(text) if text in words else f"must be one of {', '.join(words)}"

        text = self.word(name, "")
        return words[self._checked(name, text, check, 0) if text else 0]

    def secrets(self, name: str) -> tuple[bytes, ...]:
        """The first one signs, each is accepted: so one replaces another without a pause."""
        texts = [part.strip() for part in self.word(name, "").split(",")]
        if min(map(len, texts)) < SECRET_MIN_CHARACTERS:
            state = "is missing" if texts == [""] else "is too short"
            self.mistakes.append(
                f"{PREFIX}{name} {state}: at least {SECRET_MIN_CHARACTERS} characters, "
                "the same as the gateway's"
            )
        return tuple(text.encode("utf-8", "surrogateescape") for text in texts)

    def origins(self, name: str) -> frozenset[Origin]:
        found = set()
        for item in self.word(name, "").split(","):
            if not item.strip():
                continue
            origin = parse_origin(item.strip())
            if isinstance(origin, str):
                self.mistakes.append(f"{PREFIX}{name}: {origin}")
            else:
                found.add(origin)
        return frozenset(found)

    def _checked(
        self, name: str, text: str, check: Callable[[str], int | str], default: int
    ) -> int:
        value = check(text)
        if isinstance(value, str):
            self.mistakes.append(f"{PREFIX}{name} {value}, not {text!r}")
            return default
        return value


def _in_range(text: str, least: int, most: int) -> int | str:
    wanted = f"must be an integer from {least} to {most}"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        return wanted
    value = int(text)
    return value if least <= value <= most else wanted
