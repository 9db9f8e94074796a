"""What goes to an extraction worker and what comes back, and how both are framed on a pipe.

A frame is two lengths (head, body: 4 bytes each, big-endian), a JSON head and raw bytes. It refuses
frames beyond its cap, so that a broken worker cannot make its parent reserve memory.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

import orjson

LENGTHS: Final = struct.Struct(">II")
FRAME_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Style:
    """How Markdown is written. `links` and `references` are the contract's words for styles.

    `tables` is `gfm` (pipes), `html` (as they are) or `plain` (their cells as paragraphs, and no
    other extension of GitHub's either).
    """

    heading: str = "atx"
    hr: str = "* * *"
    bullet: str = "-"
    em: str = "_"
    strong: str = "**"
    links: str = "inlined"
    references: str = "full"
    tables: str = "gfm"


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a page is to be taken apart: the options that concern extraction.

    `chunking` is empty, or `h` or `s` and the deepest level of heading that begins a chunk; with
    `s` every chunk repeats the headings above it. `iframes` is empty, `true` or `quoted`.
    """

    formats: tuple[str, ...] = ("content",)
    target_selectors: tuple[str, ...] = ()
    remove_selectors: tuple[str, ...] = ()
    wait_selectors: tuple[str, ...] = ()
    links_summary: bool = False
    images_summary: bool = False
    retain_images: str = "all"
    retain_links: str = "all"
    keep_data_urls: bool = False
    max_tokens: int | None = None
    style: Style = Style()
    chunking: str = ""
    iframes: str = ""
    shadow_dom: bool = False
    overlays: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """An iframe's document, whose bytes follow the page's: address, labels and size."""

    url: str
    content_type: str
    charset: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Job:
    """One page for a worker. `url` is what relative links are resolved against.

    It is empty where links are to stay relative. `page` is the one page wanted of a PDF, from 1.
    With `survey` only the addresses of the page's iframes are wanted. `alts` are the texts that a
    model has found for images without one, by address.
    """

    url: str
    content_type: str
    charset: str | None
    wishes: Wishes
    name: str = ""
    page: int | None = None
    survey: bool = False
    frames: tuple[Frame, ...] = ()
    alts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a worker took out of a page. Absent parts are None: they were not asked for.

    `tokens` is the cl100k_base count of content, text and html together. `frames` are the
    addresses of iframes, `nameless` those of the images shown without a text, `shell` is whether
    the page has hardly any text before its scripts have run.
    """

    title: str
    description: str
    published_time: str | None
    content: str | None
    text: str | None
    html: str | None
    links: list[tuple[str, str]] | None
    images: list[tuple[str, str]] | None
    metadata: Mapping[str, str]
    external: Mapping[str, Mapping[str, Mapping[str, str]]]
    warnings: tuple[str, ...]
    tokens: int
    chunks: list[str] | None = None
    pages: int | None = None
    frames: list[str] = field(default_factory=list)
    nameless: list[str] = field(default_factory=list)
    shell: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A page that a worker took in hand and could not do; `kind` is a word of a closed set.

    `selector`: a selector is not valid CSS. `media`: a type that is not read here.
    `memory`, `time`, `crash`: the page broke the worker or its caps.
    """

    kind: str
    detail: str


def frame_head(head: dict[str, Any], body_bytes: int = 0) -> bytes:
    """A frame but for its body, of which only the length is said."""
    text = orjson.dumps(head)
    return LENGTHS.pack(len(text), body_bytes) + text


def job_head(job: Job) -> dict[str, Any]:
    """A job as a document for the pipe; the page's bytes follow it, then those of its frames."""
    return {item.name: getattr(job, item.name) for item in fields(Job)}


def read_job(text: bytes) -> Job:
    """The job of such a document."""
    head = orjson.loads(text)
    wishes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in head.pop("wishes").items()
    }
    wishes["style"] = Style(**wishes["style"])
    frames = tuple(Frame(**frame) for frame in head.pop("frames"))
    return Job(wishes=Wishes(**wishes), frames=frames, **head)


def outcome_head(outcome: Extracted | Failure) -> dict[str, Any]:
    """What a worker found, or why not, as a document for the pipe."""
    if isinstance(outcome, Failure):
        return {"failure": outcome.kind, "detail": outcome.detail}
    return {item.name: getattr(outcome, item.name) for item in fields(Extracted)}


def read_outcome(text: bytes) -> Extracted | Failure:
    """The outcome of such a document."""
    head = orjson.loads(text)
    if "failure" in head:
        return Failure(head["failure"], head["detail"])
    for name in ("links", "images"):
        if head[name] is not None:
            head[name] = [(label, url) for label, url in head[name]]
    head["warnings"] = tuple(head["warnings"])
    return Extracted(**head)
