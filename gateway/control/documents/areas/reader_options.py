"""The options of the reader, which search passes on too: each a header and a field of the body."""

from collections.abc import Iterator
from typing import Final

from gateway.control.documents.operation import Parameter, header
from gateway.control.documents.shapes import (
    FLAG,
    TEXT,
    Schema,
    array,
    either,
    maybe,
    one_of,
    told,
    whole,
)

_FORMAT: Final = {
    **TEXT,
    "examples": ["content", "markdown", "html", "text", "screenshot", "pageshot", "markdown+html"],
}
_SWITCH: Final = {**TEXT, "examples": ["true"]}
_SELECTOR: Final = {**TEXT, "examples": ["article"]}

# Header, field of a body (None: only a header), its schema as a header, what it does.
Option = tuple[str, str | None, Schema, str]
OPTIONS: Final[tuple[Option, ...]] = (
    ("X-Respond-With", "respondWith", _FORMAT, "What to answer; `+` joins several for JSON."),
    ("X-Return-Format", "returnFormat", _FORMAT, "The older name of the same."),
    ("X-Engine", "engine", one_of("auto", "direct", "curl", "browser"), "How the page is fetched."),
    ("X-Timeout", "timeout", whole(1, 180), "Seconds that reading may take."),
    (
        "X-Respond-Timing",
        "respondTiming",
        one_of(
            "html",
            "visible-content",
            "mutation-idle",
            "resource-idle",
            "media-idle",
            "network-idle",
        ),
        "What to wait for in a browser.",
    ),
    ("X-Target-Selector", "targetSelector", _SELECTOR, "Only what these CSS selectors name."),
    ("X-Wait-For-Selector", "waitForSelector", _SELECTOR, "Wait until there is such an element."),
    ("X-Remove-Selector", "removeSelector", _SELECTOR, "Without what these name."),
    ("X-No-Cache", "noCache", _SWITCH, "Fetch it anew."),
    ("X-Cache-Tolerance", "cacheTolerance", whole(0), "Seconds that a kept page may be old."),
    ("X-With-Links-Summary", "withLinksSummary", _SWITCH, "The links of the page; `all`: each."),
    ("X-With-Images-Summary", "withImagesSummary", _SWITCH, "The images of the page."),
    (
        "X-Retain-Images",
        "retainImages",
        one_of("all", "none", "alt", "all_p", "alt_p"),
        "What stays of images.",
    ),
    (
        "X-Retain-Links",
        "retainLinks",
        one_of("all", "none", "text", "gpt-oss"),
        "What stays of links.",
    ),
    ("X-With-Generated-Alt", "withGeneratedAlt", _SWITCH, "Describe images that say nothing."),
    ("X-Keep-Img-Data-Url", "keepImgDataUrl", _SWITCH, "Keep images that are data: URLs."),
    ("X-With-Iframe", "withIframe", _SWITCH, "Also what is in frames; `quoted`: as quotes."),
    ("X-With-Shadow-Dom", "withShadowDom", _SWITCH, "Also what is in shadow trees."),
    ("X-Remove-Overlay", "removeOverlay", _SWITCH, "Without dialogs and banners."),
    ("X-Set-Cookie", "setCookies", TEXT, "Cookies for the page; it is kept nowhere then."),
    ("X-Proxy-Url", "proxyUrl", TEXT, "A proxy of your own."),
    ("X-Proxy", "proxy", one_of("none"), "A proxy of ours; there is none here."),
    ("X-User-Agent", "userAgent", TEXT, "As whom the page is asked."),
    ("X-Referer", "referer", TEXT, "From where."),
    ("X-Locale", "locale", {**TEXT, "examples": ["fr-FR"]}, "In which language."),
    ("X-Robots-Txt", "robotsTxt", TEXT, "A robot whose robots.txt rules must allow it, else 409."),
    ("X-Token-Budget", "tokenBudget", whole(1), "More is refused with 409 and costs nothing."),
    ("X-Max-Tokens", "maxTokens", whole(500), "The answer is cut there."),
    ("X-Base", "base", one_of("initial", "final"), "Whose address links are relative to."),
    ("X-No-Gfm", "noGfm", _SWITCH, "Plain Markdown; `table`: only tables are not."),
    (
        "X-Markdown-Chunking",
        "markdownChunking",
        {**TEXT, "examples": ["h2", "structured", "s3"]},
        "In pieces at headings.",
    ),
    ("X-Md-Heading-Style", None, one_of("atx", "setext"), "How headings are written."),
    ("X-Md-Hr", None, {**TEXT, "maxLength": 128}, "How a rule is written."),
    ("X-Md-Bullet-List-Marker", None, one_of("-", "+", "*"), "The mark of list items."),
    ("X-Md-Em-Delimiter", None, one_of("_", "*"), "The mark of emphasis."),
    ("X-Md-Strong-Delimiter", None, one_of("__", "**"), "The mark of strong emphasis."),
    (
        "X-Md-Link-Style",
        None,
        one_of("inlined", "referenced", "discarded"),
        "How links are written.",
    ),
    (
        "X-Md-Link-Reference-Style",
        None,
        one_of("full", "collapsed", "shortcut", "discarded"),
        "How references are.",
    ),
    ("DNT", "doNotTrack", one_of("1"), "The page is kept nowhere."),
)
# Of search alone.
OPERATORS: Final = (
    ("site", "Only this site.", "example.org"),
    ("ext", "Only addresses with this ending.", "pdf"),
    ("filetype", "Only files of this type.", "pdf"),
    ("intitle", "With this in the title.", "canal"),
    ("inurl", "With this in the address.", "docs"),
    ("loc", "From this place.", "fr"),
)
ACCEPT: Final = header(
    "Accept",
    one_of("text/plain", "application/json", "text/event-stream"),
    "The form of the answer: text, JSON, or events that become more complete.",
    "application/json",
)
# Booleans may come as words, numbers as text, lists as one text: forms have nothing else.
_FIELD: Final = either(TEXT, {"type": "number"}, FLAG, array(TEXT), {"type": "null"})


def headers() -> tuple[Parameter, ...]:
    """Every option as a header."""
    return (ACCEPT, *(header(name, schema, text) for name, _, schema, text in OPTIONS))


def fields() -> dict[str, Schema]:
    """Every option as a field of a body."""
    found = {name: told(_as_field(schema), text) for _, name, schema, text in OPTIONS if name}
    found["markdown"] = told(maybe(_styles()), "The styles of `X-Md-*` in camelCase.")
    found["viewport"] = told(
        maybe(
            {
                "type": "object",
                "properties": {"width": whole(1, 4_096), "height": whole(1, 4_096)},
            }
        ),
        "The window of a browser.",
    )
    return found


def _styles() -> Schema:
    properties = {}
    for name, _, schema, _ in OPTIONS:
        if name.startswith("X-Md-"):
            first, *rest = name.removeprefix("X-Md-").split("-")
            properties[first.lower() + "".join(rest)] = schema
    return {"type": "object", "properties": properties}


def search_headers() -> Iterator[Parameter]:
    """What search takes beside the options of the reader."""
    for name, text, example in OPERATORS:
        yield header(f"X-{name.capitalize()}", {**TEXT, "examples": [example]}, text)
    yield header("X-With-Favicons", _SWITCH, "A small picture per hit.")


def _as_field(schema: Schema) -> Schema:
    if "enum" in schema:
        return either(schema, {"type": "null"})
    if schema["type"] == "integer":
        return maybe(schema)
    return _FIELD
