"""What goes to an extraction worker and what comes back, and how both are framed on a pipe.

A frame is two lengths (head, body: 4 bytes each, big-endian), a JSON head and raw bytes. It refuses
frames beyond its cap, so that a broken worker cannot make its parent reserve memory.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

LENGTHS: Final = struct.Struct(">II")
FRAME_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a page is to be taken apart: the options that concern extraction."""

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


@dataclass(frozen=True, slots=True)
class Job:
    """One page for a worker. `url` is what relative links are resolved against."""

    url: str
    content_type: str
    charset: str | None
    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a worker took out of a page. Absent parts are None: they were not asked for.

    `tokens` is the cl100k_base count of content, text and html together.
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
    """A job as a document for the pipe; the page's bytes follow it."""
    return {
        "url": job.url,
        "content_type": job.content_type,
        "charset": job.charset,
        "wishes": {name: getattr(job.wishes, name) for name in Wishes.__slots__},
    }


def read_job(text: bytes) -> Job:
    """The job of such a document."""
    head = orjson.loads(text)
    wishes: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in head.pop("wishes").items()
    }
    return Job(wishes=Wishes(**wishes), **head)


def outcome_head(outcome: Extracted | Failure) -> dict[str, Any]:
    """What a worker found, or why not, as a document for the pipe."""
    if isinstance(outcome, Failure):
        return {"failure": outcome.kind, "detail": outcome.detail}
    return {name: getattr(outcome, name) for name in Extracted.__slots__}


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
