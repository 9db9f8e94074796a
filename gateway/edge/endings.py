"""The last event of a stream that does not end as its service meant it to. Pure but for the clock.

Refuses to look like an end that is none: each is an error to every client that reads events.
"""

import time
from typing import Any

import orjson

from gateway.edge.problems import render
from gateway.errors import Problem
from gateway.products.product import Family


def error_event(problem: Problem, family: Family, request_id: str) -> bytes:
    """Nothing before it counts."""
    # The blank line ends an event of the service that has only its own missing.
    return b"\nevent: error\ndata: %b\n\n" % render(problem, family, request_id)[2]


def ended_event(problem: Problem, family: Family, request_id: str, cost_tokens: int) -> bytes:
    """We ended it, and what was produced was charged; in the shape that the family's clients read.

    Of deepsearch this is wire contract 3.3: a typed delta, with usage and the reason beside it.
    """
    if family is not Family.DEEPSEARCH:
        return error_event(problem, family, request_id)
    document: dict[str, Any] = {
        "id": request_id,
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "choices": [
            {
                "index": 0,
                "delta": {"content": problem.detail, "type": "error"},
                "finish_reason": "error",
            }
        ],
        "usage": {
            "prompt_tokens": 0,
            "completion_tokens": cost_tokens,
            "total_tokens": cost_tokens,
        },
        "code": problem.code,
        "request_id": request_id,
        **problem.fields,
    }
    return b"\ndata: %b\n\n" % orjson.dumps(document)
