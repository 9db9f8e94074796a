"""The knobs of the search service, read by `services.settings` from the one environment.

It refuses nothing itself: every mistake goes to the source, which reports all of them at once.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urlsplit

PROVIDERS: Final = ("serper", "brave", "searxng", "arxiv", "local")
# The published average is 2.5 s; beyond this a person has gone elsewhere. X-Timeout changes it.
TIMEOUT_MS: Final = 10_000
# One provider that hangs must leave time for the next, and for the pages.
PROVIDER_MS: Final = 4_000
# A batch of documents for the index; the gateway lets no more than 1 MiB of a search through.
BODY_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """Times in milliseconds, sizes in bytes; an empty URL or key means: not to be had.

    `providers` is the order in which they are asked; `keep_pages` adds pages that were read for
    a search to the local index.
    """

    reader_url: str
    url: str
    providers: tuple[str, ...]
    brave_key: str = field(repr=False)
    brave_url: str
    serper_key: str = field(repr=False)
    serper_url: str
    arxiv_url: str
    timeout_ms: int
    provider_ms: int
    keep_pages: bool
    body_bytes: int


class Source(Protocol):
    """What `services.settings` reads single values with."""

    mistakes: list[str]

    def word(self, name: str, default: str) -> str:
        """The setting as text, or the default."""

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """The setting as a number within bounds."""


def read(source: Source) -> SearchSettings:
    """The knobs; wrong ones are told to the source and stand at their default."""
    url = address(source, "SEARCH_URL", "")
    brave_key = source.word("SEARCH_BRAVE_KEY", "")
    serper_key = source.word("SEARCH_SERPER_KEY", "")
    usable = {"serper": serper_key, "brave": brave_key, "searxng": url}
    return SearchSettings(
        reader_url=address(source, "SERVICE_READER_URL", "", unix=True),
        url=url,
        providers=_providers(source, {name for name, given in usable.items() if given}),
        brave_key=brave_key,
        brave_url=address(source, "SEARCH_BRAVE_URL", "https://api.search.brave.com"),
        serper_key=serper_key,
        serper_url=address(source, "SEARCH_SERPER_URL", "https://google.serper.dev"),
        arxiv_url=address(source, "SEARCH_ARXIV_URL", "https://export.arxiv.org/api/query"),
        timeout_ms=source.number("SEARCH_TIMEOUT_MS", TIMEOUT_MS, 100, 180_000),
        provider_ms=source.number("SEARCH_PROVIDER_MS", PROVIDER_MS, 50, 180_000),
        keep_pages=switch(source, "SEARCH_KEEP_PAGES"),
        body_bytes=source.number("SEARCH_BODY_BYTES", BODY_BYTES, 64 * 1024, 1024**3),
    )


def _providers(source: Source, usable: set[str]) -> tuple[str, ...]:
    """The order named by the setting; else all that have a key or URL; else the local index."""
    text = source.word("SEARCH_PROVIDERS", "").lower()
    if not text:
        return tuple(name for name in PROVIDERS if name in usable) or ("local",)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            source.mistakes.append(f"SLUICE_SEARCH_PROVIDERS names {name!r}; known are {known}")
        elif name not in usable | {"arxiv", "local"}:
            source.mistakes.append(
                f"SLUICE_SEARCH_PROVIDERS names {name!r}, which has no {_of(name)}"
            )
    return names


def _of(name: str) -> str:
    return "SLUICE_SEARCH_URL" if name == "searxng" else f"SLUICE_SEARCH_{name.upper()}_KEY"


def address(source: Source, name: str, default: str, *, unix: bool = False) -> str:
    """An http or https URL without a slash at its end; `unix`: or unix:/path. Empty is none."""
    text = source.word(name, default).rstrip("/")
    if not text or (unix and text.startswith("unix:/")):
        return text
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        source.mistakes.append(f"SLUICE_{name} must be an http or https URL, not {text!r}")
        return default
    return text


def switch(source: Source, name: str) -> bool:
    """Yes or no; absent is no."""
    text = source.word(name, "no").lower()
    if text not in ("yes", "true", "on", "1", "no", "false", "off", "0"):
        source.mistakes.append(f"SLUICE_{name} must be yes or no, not {text!r}")
    return text in ("yes", "true", "on", "1")
