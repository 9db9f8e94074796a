"""What the canary asks of each product: the smallest request that a customer could make.

Refuses I/O: a trial is a value. `{page}` and `{classifier}` in it are filled in by who runs it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

_ONE: Final = "A sluice lets a measured flow through."
_OTHER: Final = "The moon has no atmosphere."


@dataclass(frozen=True, slots=True)
class Trial:
    """One request to a product at the bare host, and what a right answer may be.

    `right` are the HTTP statuses; whatever is charged must be what was reported. `deadline_s` is
    what the canary waits, not what a customer may. `free`: nothing is charged, whatever is used.
    """

    product: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    right: frozenset[int] = frozenset({200})
    deadline_s: float = 20.0
    free: bool = False

    def content(self, classifier: str) -> bytes:
        """The body as it is sent."""
        if self.body is None:
            return b""
        return orjson.dumps(self.body).replace(b"{classifier}", classifier.encode())

    def target(self, page: str) -> str:
        """The path as it is sent."""
        return self.path.replace("{page}", page)


# An index without a page about it has nothing to answer with, and is up all the same.
_SEARCH: Final = Trial(
    "search",
    "GET",
    "/s/sluice",
    headers={"x-respond-with": "no-content", "accept": "application/json"},
    right=frozenset({200, 422}),
)
_DEEPSEARCH: Final = Trial(
    "deepsearch",
    "POST",
    "/v1/chat/completions",
    {
        "model": "jina-deepsearch-v1",
        "messages": [{"role": "user", "content": "What does a sluice do?"}],
        "reasoning_effort": "low",
        # Two searches and a page: it runs every minute, on the processors of those who pay.
        "budget_tokens": 4_000,
        "stream": False,
    },
    deadline_s=60.0,
)


def trials() -> tuple[Trial, ...]:
    """One per product of the built-in catalogue, training before what it has trained."""
    text = {"model": "jina-embeddings-v3", "input": [_ONE]}
    lessons = [{"text": _ONE, "label": "water"}, {"text": _OTHER, "label": "moon"}]
    return (
        Trial("segment", "POST", "/v1/segment", {"content": _ONE}, free=True),
        Trial("reader", "GET", "/r/{page}", headers={"x-no-cache": "true"}),
        Trial("embeddings", "POST", "/v1/embeddings", text),
        Trial(
            "rerank",
            "POST",
            "/v1/rerank",
            {
                "model": "jina-reranker-v2-base-multilingual",
                "query": "water",
                "documents": [_ONE, _OTHER],
            },
        ),
        Trial("classify_zero_shot", "POST", "/v1/classify", {**text, "labels": ["water", "moon"]}),
        Trial(
            "train",
            "POST",
            "/v1/train",
            {"model": text["model"], "access": "private", "input": lessons, "num_iters": 1},
        ),
        Trial(
            "classify_few_shot",
            "POST",
            "/v1/classify",
            {"classifier_id": "{classifier}", "input": [_ONE]},
        ),
        _SEARCH,
        _DEEPSEARCH,
    )


# Reserved never to exist: whoever reads it fails, on the page's side, and pays nothing.
FAILING: Final = Trial("reader", "GET", "/r/http://canary.invalid/")
# What a key with a limit of one request a minute is tried with: the first that is deployed.
CHEAP: Final = ("segment", "embeddings", "classify_zero_shot", "rerank", "reader")
