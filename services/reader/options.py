"""How a page is to be read: the options of the wire contract, from headers and body fields. Pure.

On GET only headers count, since the query belongs to the target; on POST a body field wins over its
header. It refuses wrong values, and what this deployment does not have: an option is honoured or
answered with 400, never ignored. What only concerns a fetch is refused only when one is to be made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.reader import cookies
from services.reader.asked import Asked, OptionError, check_header, wrong
from services.reader.cookies import Cookie
from services.reader.jobs import Style, Wishes
from services.reader.refusals import Refusal, not_available

FORMATS: Final = frozenset({"content", "markdown", "html", "text", "screenshot", "pageshot"})
SHOTS: Final = frozenset({"screenshot", "pageshot"})
LATER_FORMATS: Final = frozenset({"vlm", "readerlm-v2", "datetime", "no-content"})
ENGINES: Final = frozenset({"auto", "curl", "direct", "browser"})
LATER_ENGINES: Final = frozenset({"cf-browser-rendering", "vlm", "readerlm-v2"})
TIMINGS: Final = frozenset(
    {"html", "visible-content", "mutation-idle", "resource-idle", "media-idle", "network-idle"}
)
IMAGES: Final = frozenset({"all", "none", "alt", "all_p", "alt_p"})
LINKS: Final = frozenset({"all", "none", "text", "gpt-oss"})
STYLES: Final = {
    "headingStyle": ("heading", frozenset({"atx", "setext"})),
    "bulletListMarker": ("bullet", frozenset("-+*")),
    "emDelimiter": ("em", frozenset("_*")),
    "strongDelimiter": ("strong", frozenset({"__", "**"})),
    "linkStyle": ("links", frozenset({"inlined", "referenced", "discarded"})),
    "linkReferenceStyle": (
        "references",
        frozenset({"full", "collapsed", "shortcut", "discarded"}),
    ),
}
RULE_CHARACTERS: Final = 128
CHUNKING: Final = re.compile(r"[hs][1-5]")
# Every heading but the smallest two begins a chunk where no depth is named.
CHUNKINGS: Final = {
    "true": "h4",
    "simple": "h4",
    "structured": "s4",
    "contextual": "s4",
    "": "",
    "false": "",
}
OFF: Final = frozenset({"no", "none", "false"})
TIMEOUT_MAX_S: Final = 180
MAX_TOKENS_LEAST: Final = 500
# Headers that say how a message travels, or that other options are for.
NOT_CUSTOM: Final = frozenset(
    {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "trailer"}
    | {"upgrade", "expect", "accept-encoding", "cookie", "proxy-authorization", "via", "forwarded"}
    | {"proxy-connection", "x-forwarded-for", "x-real-ip"}
)
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
VIEWPORT_PIXELS: Final = 4096


@dataclass(frozen=True, slots=True)
class Options:
    """Checked options. `timeout_ms` is None if the client named none; `budget_tokens` likewise.

    `tolerance_s` is how old a stored page may be, None if the client does not say; `private` keeps
    the page out of every store. `unfetchable` is why nothing may be fetched with these options.
    """

    wishes: Wishes
    timeout_ms: int | None = None
    budget_tokens: int | None = None
    final_base: bool = False
    links_all: bool = False
    request_headers: Mapping[str, str] = field(default_factory=dict)
    cookies: tuple[Cookie, ...] = ()
    proxy: str | None = None
    robots_agent: str | None = None
    engine: str = "auto"
    timing: str | None = None
    tolerance_s: int | None = None
    private: bool = False
    generated_alt: bool = False
    viewport: tuple[int, int] | None = None
    scripts: tuple[str, ...] = ()
    unfetchable: Refusal | None = None

    @property
    def shots(self) -> frozenset[str]:
        """Which pictures of the page are wanted."""
        return SHOTS & set(self.wishes.formats)


def read(headers: Mapping[str, str], fields: Mapping[str, Any]) -> Options | Refusal:
    """The options of one request; `fields` is empty on GET."""
    try:
        return _read(Asked(headers, fields))
    except OptionError as mistake:
        return mistake.refusal


def _read(asked: Asked) -> Options:
    for name, what in (("instruction", "Reading by instruction"), ("jsonSchema", "A schema")):
        if asked.get("", name) is not None:
            raise OptionError(not_available(name, what))
    summary = asked.get("x-with-links-summary", "withLinksSummary")
    tolerance_s = asked.number("x-cache-tolerance", "cacheTolerance", 0)
    engine = asked.choice("x-engine", "engine", ENGINES, LATER_ENGINES) or "auto"
    custom = _custom_headers(asked)
    return Options(
        wishes=_wishes(asked),
        timeout_ms=_timeout_ms(asked),
        budget_tokens=asked.number("x-token-budget", "tokenBudget", 1),
        final_base=asked.choice("x-base", "base", frozenset({"initial", "final"})) == "final",
        links_all=isinstance(summary, str) and summary.strip().lower() == "all",
        request_headers={**_request_headers(asked), **custom},
        cookies=cookies.parse(asked.texts("x-set-cookie", "setCookies")),
        proxy=asked.text("x-proxy-url", "proxyUrl"),
        robots_agent=asked.header_text("x-robots-txt", "robotsTxt"),
        engine="direct" if engine == "curl" else engine,
        timing=asked.choice("x-respond-timing", "respondTiming", TIMINGS),
        tolerance_s=0 if asked.switch("x-no-cache", "noCache") else tolerance_s,
        private=bool(custom) or _is_one(asked.get("dnt", "doNotTrack")),
        generated_alt=asked.switch("x-with-generated-alt", "withGeneratedAlt"),
        viewport=_viewport(asked.record("viewport")),
        scripts=_scripts(asked),
        unfetchable=_unfetchable(asked),
    )


def _wishes(asked: Asked) -> Wishes:
    images = asked.choice("x-retain-images", "retainImages", IMAGES) or "all"
    links = asked.choice("x-retain-links", "retainLinks", LINKS) or "all"
    iframes = asked.word("x-with-iframe", "withIframe")
    if iframes and iframes != "quoted":
        iframes = "true" if asked.switch("x-with-iframe", "withIframe") else ""
    generated = asked.switch("x-with-generated-alt", "withGeneratedAlt")
    target = asked.selectors("x-target-selector", "targetSelector")
    return Wishes(
        formats=_formats(asked),
        target_selectors=target,
        remove_selectors=asked.selectors("x-remove-selector", "removeSelector"),
        wait_selectors=asked.selectors("x-wait-for-selector", "waitForSelector"),
        links_summary=links == "gpt-oss"
        or asked.switch("x-with-links-summary", "withLinksSummary"),
        images_summary=asked.switch("x-with-images-summary", "withImagesSummary"),
        retain_images="all_p" if generated else images,
        retain_links=links,
        keep_data_urls=asked.switch("x-keep-img-data-url", "keepImgDataUrl"),
        max_tokens=asked.number("x-max-tokens", "maxTokens", MAX_TOKENS_LEAST),
        style=_style(asked),
        chunking=_chunking(asked),
        iframes=iframes,
        shadow_dom=asked.switch("x-with-shadow-dom", "withShadowDom"),
        overlays=asked.word("x-remove-overlay", "removeOverlay") in ("", *OFF),
    )


def _style(asked: Asked) -> Style:
    said = asked.style_headers()
    said.update({name: value for name, value in asked.record("markdown").items() if value})
    chosen: dict[str, str] = {}
    for name, value in said.items():
        if name == "hr":
            if not isinstance(value, str) or len(value) > RULE_CHARACTERS or "\n" in value:
                raise wrong("hr", f"hr must be one line of up to {RULE_CHARACTERS} characters")
            chosen["hr"] = value
            continue
        place, known = STYLES.get(name, ("", frozenset[str]()))
        if not place:
            raise wrong(name, f"There is no Markdown style {name!r}")
        if not isinstance(value, str) or value not in known:
            listed = ", ".join(sorted(known))
            raise wrong(name, f"{name} must be one of {listed}, not {str(value)[:80]!r}")
        chosen[place] = value
    gfm = asked.word("x-no-gfm", "noGfm")
    if gfm == "table":
        chosen["tables"] = "html"
    elif asked.switch("x-no-gfm", "noGfm"):
        chosen["tables"] = "plain"
    return Style(**chosen)


def _chunking(asked: Asked) -> str:
    word = asked.word("x-markdown-chunking", "markdownChunking")
    if word in CHUNKINGS:
        return CHUNKINGS[word]
    if CHUNKING.fullmatch(word):
        return word
    message = "markdownChunking must be true, h1 to h5, structured or s1 to s5"
    raise wrong("markdownChunking", f"{message}, not {word!r}")


def _formats(asked: Asked) -> tuple[str, ...]:
    """The first of the two headers that says something; `+` joins several."""
    text = asked.text("x-respond-with", "respondWith") or asked.text(
        "x-return-format", "returnFormat"
    )
    if text is None or text.strip().lower() in ("", "default"):
        return ("content",)
    words = tuple(dict.fromkeys(word.strip().lower() for word in text.split("+")))
    for word in words:
        if word in LATER_FORMATS:
            raise OptionError(not_available("respondWith", f"The format {word!r}"))
        if word not in FORMATS:
            listed = ", ".join(sorted(FORMATS | LATER_FORMATS))
            raise wrong("respondWith", f"respondWith must be one of {listed}, not {word!r}")
    if {"content", "markdown"} <= set(words):
        raise wrong("respondWith", "content and markdown exclude each other")
    return words


def _timeout_ms(asked: Asked) -> int | None:
    """Seconds; a header is clamped and nonsense in it is none, a body field must be right."""
    value = asked.get("x-timeout", "timeout")
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
        raise wrong("timeout", message)
    return max(1, int(value * 1000))


def _unfetchable(asked: Asked) -> Refusal | None:
    """What is fine for a document that came with the request, and not here for one to fetch."""
    proxy = asked.text("x-proxy", "proxy")
    if proxy is not None and proxy.strip().lower() not in OFF:
        return not_available("proxy", "A proxy of our own (bring one with X-Proxy-Url)")
    return None


def _request_headers(asked: Asked) -> dict[str, str]:
    """Headers for the target, as the client wished them."""
    found = {}
    for option, name, header in (
        ("x-user-agent", "userAgent", "User-Agent"),
        ("x-referer", "referer", "Referer"),
        ("x-locale", "locale", "Accept-Language"),
    ):
        value = asked.header_text(option, name)
        if value is not None:
            found[header] = value
    return found


def _custom_headers(asked: Asked) -> dict[str, str]:
    found = {}
    for name, value in asked.record("customHeader").items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in NOT_CUSTOM:
            raise wrong("customHeader", f"customHeader must not set {name[:80]!r}")
        if not isinstance(value, str):
            raise wrong("customHeader", "customHeader must be an object of strings")
        check_header("customHeader", value)
        found[name] = value
    return found


def _viewport(said: Mapping[str, Any]) -> tuple[int, int] | None:
    if not said:
        return None
    sides = [said.get("width", 1024), said.get("height", 1024)]
    if not all(type(side) is int and 0 < side <= VIEWPORT_PIXELS for side in sides):
        raise wrong("viewport", f"width and height must be from 1 to {VIEWPORT_PIXELS}")
    return sides[0], sides[1]


def _scripts(asked: Asked) -> tuple[str, ...]:
    """Scripts that the client wants run in the page."""
    found: list[str] = []
    for name in ("injectPageScript", "injectFrameScript"):
        value = asked.get("", name)
        listed = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(script, str) for script in listed):
            raise wrong(name, f"{name} must be a string or a list of strings")
        found.extend(listed)
    return tuple(found)


def _is_one(value: object) -> bool:
    return value is True or str(value).strip() == "1"
