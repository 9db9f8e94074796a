"""How a page is to be read: the options of the wire contract, from headers and body fields. Pure.

On GET only headers count, since the query belongs to the target; on POST a body field wins over its
header. It refuses wrong values, and what this deployment does not have: an option is honoured or
answered with 400, never ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.reader.jobs import Wishes
from services.reader.refusals import Refusal, bad_option, not_available

FORMATS: Final = frozenset({"content", "markdown", "html", "text"})
LATER_FORMATS: Final = frozenset({"screenshot", "pageshot", "vlm", "readerlm-v2", "datetime"})
ENGINES: Final = frozenset({"auto", "curl", "direct"})
LATER_ENGINES: Final = frozenset({"browser", "cf-browser-rendering", "vlm", "readerlm-v2"})
TIMINGS: Final = frozenset(
    {"html", "visible-content", "mutation-idle", "resource-idle", "media-idle", "network-idle"}
)
IMAGES: Final = {"all": "all", "none": "none", "alt": "alt"}
LINKS: Final = frozenset({"all", "none", "text"})
# Present means on: the published reader takes any value but the empty one as true.
LATER_SWITCHES: Final = (
    ("x-with-generated-alt", "withGeneratedAlt", "Generated alt text"),
    ("x-with-iframe", "withIframe", "Reading iframes"),
    ("x-with-shadow-dom", "withShadowDom", "Reading the shadow DOM"),
    ("x-proxy-url", "proxyUrl", "Fetching through a proxy"),
    ("x-robots-txt", "robotsTxt", "Checking robots.txt"),
    ("x-set-cookie", "setCookies", "Sending cookies"),
    ("x-markdown-chunking", "markdownChunking", "Markdown chunking"),
    ("x-no-gfm", "noGfm", "Markdown without tables and strikethrough"),
    ("", "viewport", "A viewport"),
    ("", "injectPageScript", "Script injection"),
    ("", "injectFrameScript", "Script injection"),
    ("", "instruction", "Reading by instruction"),
    ("", "jsonSchema", "Reading into a schema"),
    ("", "customHeader", "Sending own headers"),
    ("", "markdown", "A Markdown style"),
    ("", "pdf", "Reading an uploaded PDF"),
    ("", "file", "Reading an uploaded file"),
)
OFF: Final = frozenset({"no", "none", "false"})
TIMEOUT_MAX_S: Final = 180
MAX_TOKENS_LEAST: Final = 500
SELECTOR_CHARACTERS: Final = 2048
HEADER_CHARACTERS: Final = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options. `timeout_ms` is None if the client named none; `budget_tokens` likewise."""

    wishes: Wishes
    timeout_ms: int | None = None
    budget_tokens: int | None = None
    final_base: bool = False
    links_all: bool = False
    request_headers: Mapping[str, str] = field(default_factory=dict)


class _OptionError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def read(headers: Mapping[str, str], fields: Mapping[str, Any]) -> Options | Refusal:
    """The options of one request; `fields` is empty on GET."""
    try:
        return _read(_Source(headers, fields))
    except _OptionError as mistake:
        return mistake.refusal


class _Source:
    """One option at a time: body field first, then header; empty is absent."""

    def __init__(self, headers: Mapping[str, str], fields: Mapping[str, Any]) -> None:
        self._headers = headers
        self._fields = fields
        self.header_names = tuple(name.lower() for name in headers)

    def get(self, header: str, name: str) -> Any:
        value = self._fields.get(name)
        if value is None or value == "":
            value = self._headers.get(header) if header else None
        return None if value == "" else value

    def text(self, header: str, name: str) -> str | None:
        value = self.get(header, name)
        if value is None or isinstance(value, str):
            return value
        raise _OptionError(bad_option(name, f"{name} must be a string"))

    def switch(self, header: str, name: str) -> bool:
        """A header is on whatever it says; a body field says what it says."""
        value = self.get(header, name)
        if isinstance(value, str) and name in self._fields:
            return value.strip().lower() not in ("false", "0", "no")
        return bool(value)

    def number(self, header: str, name: str, least: int) -> int | None:
        value = self.get(header, name)
        if value is None:
            return None
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value.strip()[:18])
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _OptionError(bad_option(name, f"{name} must be an integer of at least {least}"))
        return min(value, 2**53)

    def choice(
        self, header: str, name: str, known: frozenset[str], later: frozenset[str]
    ) -> str | None:
        text = self.text(header, name)
        if text is None:
            return None
        word = text.strip().lower()
        if word in later:
            raise _OptionError(not_available(name, f"{name} {word!r}"))
        if word not in known:
            listed = ", ".join(sorted(known | later))
            raise _OptionError(bad_option(name, f"{name} must be one of {listed}, not {text!r}"))
        return word

    def selectors(self, header: str, name: str) -> tuple[str, ...]:
        value = self.get(header, name)
        if value is None:
            return ()
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in listed):
            raise _OptionError(bad_option(name, f"{name} must be a string or a list of strings"))
        found = [part.strip() for item in listed for part in item.split(", ") if part.strip()]
        for selector in found:
            if selector.startswith(("*", ":")) or len(selector) > SELECTOR_CHARACTERS:
                reason = f"Unacceptable selector: {selector[:80]!r}. It must begin with a tag, "
                raise _OptionError(bad_option(name, reason + "a class, an id or an attribute"))
        return tuple(found)


def _read(source: _Source) -> Options:
    _refuse_later(source)
    source.choice("x-engine", "engine", ENGINES, LATER_ENGINES)
    source.choice("x-respond-timing", "respondTiming", TIMINGS, frozenset())
    base = source.choice("x-base", "base", frozenset({"initial", "final"}), frozenset())
    source.number("x-cache-tolerance", "cacheTolerance", 0)
    return Options(
        wishes=_wishes(source),
        timeout_ms=_timeout_ms(source),
        budget_tokens=source.number("x-token-budget", "tokenBudget", 1),
        final_base=base == "final",
        links_all=_is_all(source.get("x-with-links-summary", "withLinksSummary")),
        request_headers=_request_headers(source),
    )


def _wishes(source: _Source) -> Wishes:
    target = source.selectors("x-target-selector", "targetSelector")
    images = source.choice(
        "x-retain-images", "retainImages", frozenset(IMAGES), frozenset({"all_p", "alt_p"})
    )
    links = source.choice("x-retain-links", "retainLinks", LINKS, frozenset({"gpt-oss"}))
    return Wishes(
        formats=_formats(source),
        target_selectors=target,
        remove_selectors=source.selectors("x-remove-selector", "removeSelector"),
        wait_selectors=source.selectors("x-wait-for-selector", "waitForSelector"),
        links_summary=source.switch("x-with-links-summary", "withLinksSummary"),
        images_summary=source.switch("x-with-images-summary", "withImagesSummary"),
        retain_images=images or "all",
        retain_links=links or "all",
        keep_data_urls=source.switch("x-keep-img-data-url", "keepImgDataUrl"),
        max_tokens=source.number("x-max-tokens", "maxTokens", MAX_TOKENS_LEAST),
    )


def _formats(source: _Source) -> tuple[str, ...]:
    """The first of the two headers that says something; `+` joins several."""
    text = source.text("x-respond-with", "respondWith") or source.text(
        "x-return-format", "returnFormat"
    )
    if text is None or text.strip().lower() in ("", "default"):
        return ("content",)
    words = tuple(dict.fromkeys(word.strip().lower() for word in text.split("+")))
    for word in words:
        if word in LATER_FORMATS:
            raise _OptionError(not_available("respondWith", f"The format {word!r}"))
        if word not in FORMATS:
            listed = ", ".join(sorted(FORMATS | LATER_FORMATS))
            message = f"respondWith must be one of {listed}, not {word!r}"
            raise _OptionError(bad_option("respondWith", message))
    if {"content", "markdown"} <= set(words):
        raise _OptionError(bad_option("respondWith", "content and markdown exclude each other"))
    return words


def _timeout_ms(source: _Source) -> int | None:
    """Seconds; a header is clamped and nonsense in it is none, a body field must be right."""
    value = source.get("x-timeout", "timeout")
    if isinstance(value, str):
        text = value.strip()
        if not text.isascii() or not text.isdigit() or not int(text[:9]):
            return None
        return min(int(text[:9]), TIMEOUT_MAX_S) * 1000
    if value is None:
        return None
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not 0 < value <= TIMEOUT_MAX_S:
        message = f"timeout must be a number of seconds above 0 and up to {TIMEOUT_MAX_S}"
        raise _OptionError(bad_option("timeout", message))
    return max(1, int(value * 1000))


def _refuse_later(source: _Source) -> None:
    for header, name, what in LATER_SWITCHES:
        if source.switch(header, name):
            raise _OptionError(not_available(name, what))
    proxy = source.text("x-proxy", "proxy")
    if proxy is not None and proxy.strip().lower() not in OFF:
        raise _OptionError(not_available("proxy", "Fetching through a proxy"))
    overlay = source.get("x-remove-overlay", "removeOverlay")
    if overlay is not None and overlay is not False and str(overlay).strip().lower() not in OFF:
        raise _OptionError(not_available("removeOverlay", "Removing overlays"))
    style = next((name for name in source.header_names if name.startswith("x-md-")), None)
    if style is not None:
        raise _OptionError(not_available(style, f"The Markdown style {style}"))


def _request_headers(source: _Source) -> dict[str, str]:
    """Headers for the target, as the client wished them."""
    found = {}
    for option, name, header in (
        ("x-user-agent", "userAgent", "User-Agent"),
        ("x-referer", "referer", "Referer"),
        ("x-locale", "locale", "Accept-Language"),
    ):
        value = source.text(option, name)
        if value is None:
            continue
        if not (value.isascii() and value.isprintable() and len(value) <= HEADER_CHARACTERS):
            message = f"{name} has characters that a header cannot carry"
            raise _OptionError(bad_option(name, message))
        found[header] = value
    return found


def _is_all(value: object) -> bool:
    return isinstance(value, str) and value.strip().lower() == "all"
