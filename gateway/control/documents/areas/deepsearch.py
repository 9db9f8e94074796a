"""Deepsearch: chat completions whole and streamed, its trace."""

from typing import Final

from gateway.control.documents.operation import (
    EVENTS,
    JSON,
    METERED,
    Answer,
    Body,
    Operation,
    json_answer,
    path_parameter,
)
from gateway.control.documents.shapes import (
    ANYTHING,
    COUNT,
    FLAG,
    NUMBER,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)
from gateway.products.product import Family

_HOSTS: Final = array(told(TEXT, "Such as `example.org`."), most=200)
_CONTENT: Final = either(TEXT, array(ref("ContentPart")), {"type": "null"})
_HEAD: Final = {
    "id": TEXT,
    "object": TEXT,
    "created": WHOLE,
    "model": TEXT,
    "system_fingerprint": TEXT,
}
_URLS: Final = {"visitedURLs": array(TEXT), "readURLs": array(TEXT), "numURLs": COUNT}
_PRODUCT: Final = ("deepsearch",)

SCHEMAS: Final[dict[str, Schema]] = {
    "ContentPart": request(
        {
            "type": told(TEXT, "`text`, `image_url` or `file`."),
            "text": TEXT,
            "image_url": told({}, "`{url}` with a data URI."),
            "file": told({}, "A data URI of a PDF or a text, at most 10 MiB."),
        }
    ),
    "Message": request(
        {
            "role": one_of("system", "developer", "user", "assistant", "tool", "function"),
            "content": _CONTENT,
        },
        "role content",
    ),
    "ChatRequest": request(
        {
            "model": told(TEXT, "Echoed; `jina-deepsearch-v1` if left out."),
            "messages": told(
                array(ref("Message"), 1, 1_000), "The last one is a user's: the question."
            ),
            "stream": told(maybe(FLAG), "As events; else one answer, which may take minutes."),
            "reasoning_effort": told(
                either(one_of("low", "medium", "high"), {"type": "null"}),
                "A budget of 100,000, 500,000 (the default) or 1,000,000 tokens.",
            ),
            "budget_tokens": told(maybe(whole(1, 1_000_000_000)), "Overrides the effort."),
            "max_completion_tokens": told(
                maybe(whole(1, 1_000_000_000)), "The same with one attempt."
            ),
            "max_attempts": maybe(whole(1, 100)),
            "team_size": told(maybe(whole(1, 16)), "Sub-questions answered side by side."),
            "no_direct_answer": told(maybe(FLAG), "Search even if the answer seems known."),
            "max_returned_urls": maybe(whole(0, 10_000)),
            "boost_hostnames": maybe(_HOSTS),
            "bad_hostnames": maybe(_HOSTS),
            "only_hostnames": maybe(_HOSTS),
            "max_annotations": maybe(whole(0, 10_000)),
            "min_annotation_relevance": maybe({**NUMBER, "minimum": 0, "maximum": 1}),
            "search_provider": told(maybe(TEXT), "Such as `arxiv`."),
            "search_language_code": maybe(TEXT),
            "language_code": told(maybe(TEXT), "The language of the answer."),
            "response_format": told(
                maybe(ANYTHING), '`{"type": "json_schema", "json_schema": {...}}`'
            ),
        },
        "messages",
    ),
    "Citation": answer(
        {
            "type": {"const": "url_citation"},
            "url_citation": answer(
                {"title": TEXT, "exactQuote": TEXT, "url": TEXT, "dateTime": TEXT}
            ),
        }
    ),
    "ChatUsage": answer(
        {"prompt_tokens": COUNT, "completion_tokens": COUNT, "total_tokens": COUNT},
        told="`total_tokens` is what is charged: all calls of the whole process.",
    ),
    "Chat": answer(
        {
            **_HEAD,
            "choices": array(
                answer(
                    {
                        "index": COUNT,
                        "message": answer(
                            {
                                "role": {"const": "assistant"},
                                "content": TEXT,
                                "type": one_of("text", "json", "error"),
                                "annotations": array(ref("Citation")),
                            }
                        ),
                        "logprobs": {"type": "null"},
                        "finish_reason": one_of("stop", "error"),
                    }
                )
            ),
            "usage": ref("ChatUsage"),
            **_URLS,
        }
    ),
    "ChatChunk": answer(
        {
            **_HEAD,
            "choices": array(
                answer(
                    {
                        "index": COUNT,
                        "delta": request(
                            {
                                "role": TEXT,
                                "content": TEXT,
                                "type": one_of("think", "text", "json", "error"),
                                "url": told(TEXT, "A page that is being read."),
                                "query": told(TEXT, "A search that is being made."),
                                "annotations": array(ref("Citation")),
                            }
                        ),
                        "logprobs": {"type": "null"},
                        "finish_reason": maybe(one_of("thinking_end", "stop", "error")),
                    }
                )
            ),
            "usage": ref("ChatUsage"),
            **_URLS,
        },
        "usage visitedURLs readURLs numURLs",
        "The `data` of one event. The last one has `usage` and the URLs; no `[DONE]` follows.",
    ),
    "Trace": answer(
        {
            "request_id": TEXT,
            "model": TEXT,
            "began_at": TEXT,
            "took_ms": COUNT,
            "finish": TEXT,
            "budget_tokens": COUNT,
            "usage": ref("ChatUsage"),
            "steps": array(
                answer(
                    {
                        "kind": TEXT,
                        "detail": TEXT,
                        "start_ms": COUNT,
                        "end_ms": COUNT,
                        "prompt_tokens": COUNT,
                        "completion_tokens": COUNT,
                        "tokens": COUNT,
                        "outcome": TEXT,
                    }
                )
            ),
        },
        told="How an answer came about; kept for a week, shown to its key only.",
    ),
}

_QUESTION: Final = [{"role": "user", "content": "What is a sluice?"}]

OPERATIONS: Final = (
    Operation(
        "chat",
        "POST",
        "/v1/chat/completions",
        "deepsearch",
        "Research a question",
        "Searches, reads and reasons until it has an answer with citations or its budget is spent. "
        "With `stream: true` the thinking arrives first, each event in the shape of `ChatChunk`; "
        "comment lines (`: usage N`) tell what has been used so far. A client of OpenAI's API "
        "works with this host and `/v1` as its base URL.",
        (
            Answer(
                "The answer, or what it would cost.",
                {
                    JSON: either(ref("Chat"), ref("Price")),
                    EVENTS: told({}, "Events of `ChatChunk`."),
                },
            ),
        ),
        (400, 404, 409, 429, 502, 504),
        labels=("deepsearch",),
        products=_PRODUCT,
        key=True,
        parameters=METERED,
        body=Body(
            ref("ChatRequest"),
            {
                "streamed": {"messages": _QUESTION, "stream": True, "reasoning_effort": "low"},
                "whole": {"messages": _QUESTION, "budget_tokens": 20_000},
            },
        ),
        family=Family.DEEPSEARCH,
    ),
    Operation(
        "show_trace",
        "GET",
        "/v1/requests/{request_id}/trace",
        "deepsearch",
        "The steps of a deepsearch answer",
        "Every search, page and sub-question with its tokens and times.",
        (json_answer(ref("Trace"), "The steps."),),
        (404, 429, 502, 504),
        key=True,
        parameters=(
            path_parameter(
                "request_id", "As in `x-request-id`.", "01a1f936-e3aa-7a3a-84f2-2ba257b9f0ae"
            ),
        ),
    ),
)
