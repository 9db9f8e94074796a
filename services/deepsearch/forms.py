"""The answer in OpenAI's shapes, whole and as chunks, with what the contract adds. Pure.

It refuses nothing; a failure has its shape too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from services.deepsearch.research.mind import Evidence

THINK: Final = "think"
BEGIN: Final = {"role": "assistant", "content": "<think>", "type": THINK}
END: Final = {"content": "</think>\n\n", "type": THINK}
DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the whole process; the total is its own sum."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def document(self) -> dict[str, int]:
        """As OpenAI writes it."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. `kind`: text, json or error; an error has no citations."""

    kind: str
    content: str
    finish: str
    citations: Sequence[Evidence] = ()
    visited_urls: Sequence[str] = ()
    read_urls: Sequence[str] = ()
    url_count: int = 0

    @property
    def is_error(self) -> bool:
        return self.kind == "error"

    @property
    def finish_reason(self) -> str:
        return "error" if self.is_error else "stop"


@dataclass(frozen=True, slots=True)
class Head:
    """What every piece of one answer says of itself; `moment_ms` is its id."""

    moment_ms: int
    model: str

    def fields(self, kind: str) -> dict[str, Any]:
        """The members in front of `choices`."""
        return {
            "id": str(self.moment_ms),
            "object": kind,
            "created": self.moment_ms // 1_000,
            "model": self.model,
            "system_fingerprint": f"fp_{self.moment_ms}",
        }


def chunk(
    head: Head, delta: Mapping[str, Any], reason: str | None = None, **beside: object
) -> bytes:
    """One event; `beside` are members next to `choices`."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    fields = {**head.fields("chat.completion.chunk"), "choices": [choice], **beside}
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def last_chunks(head: Head, outcome: Outcome, usage: Usage) -> bytes:
    """The end of a stream: the thought is over, and the answer in one piece."""
    told = usage.document()
    if outcome.is_error:
        delta = {"content": outcome.content, "type": "error"}
        return chunk(head, END, "error", usage=told) + chunk(head, delta, "error", usage=told)
    answer = {
        "content": outcome.content,
        "type": outcome.kind,
        "annotations": annotations(outcome.citations),
    }
    return chunk(head, END, "thinking_end") + chunk(
        head, answer, outcome.finish_reason, usage=told, **_urls(outcome)
    )


def whole(head: Head, outcome: Outcome, usage: Usage) -> bytes:
    """The answer that is not streamed."""
    message = {
        "role": "assistant",
        "content": f"Error: {outcome.content}" if outcome.is_error else outcome.content,
        "type": outcome.kind,
        "annotations": annotations(outcome.citations),
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": outcome.finish_reason,
    }
    fields = {
        **head.fields("chat.completion"),
        "choices": [choice],
        "usage": usage.document(),
        **_urls(outcome),
    }
    return orjson.dumps(fields)


def annotations(citations: Sequence[Evidence]) -> list[dict[str, Any]]:
    """One per citation, in the order of their use."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "title": each.title,
                "exactQuote": each.quote,
                "url": each.url,
                "dateTime": each.date or "",
            },
        }
        for each in citations
    ]


def running(total_tokens: int) -> bytes:
    """A comment that tells what has been used so far, and keeps proxies from cutting the line."""
    return b": usage %d\n\n" % total_tokens


def thinking() -> bytes:
    """A comment that says that we are still there."""
    return b": thinking\n\n"


def _urls(outcome: Outcome) -> dict[str, Any]:
    return {
        "visitedURLs": list(outcome.visited_urls),
        "readURLs": list(outcome.read_urls),
        "numURLs": outcome.url_count,
    }
