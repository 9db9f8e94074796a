"""Whatever is sent, the search answers, refuses with 4xx, and never charges for a refusal."""

import asyncio
from typing import Any
from urllib.parse import quote, urlencode

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.reader.refusals import Refusal
from services.search import ask as asking
from tests.services.asking import Asker

WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["sliding window", '"', "site:", "-", "OR", "((((", "site:a OR", 'intitle:"a']),
)
NAMES = st.sampled_from(
    [
        *(
            "q",
            "num",
            "count",
            "page",
            "gl",
            "hl",
            "location",
            "type",
            "provider",
            "engine",
            "nfpr",
        ),
        *("tbs", "fallback", "site", "ext", "filetype", "intitle", "inurl", "loc", "url", "html"),
        *("timeout", "maxTokens", "respondWith", "targetSelector", "viewport", "markdown"),
    ]
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=2)),
    max_leaves=4,
)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.dictionaries(NAMES, WORDS, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_parameters_are_an_ask_or_a_refusal(
    fields: dict[str, Any], headers: dict[str, str]
) -> None:
    named = {f"X-{name}": value for name, value in headers.items()}
    query = asking.query_of("/fallback", fields)
    for outcome in (query, asking.read("query", named, fields)):
        if isinstance(outcome, Refusal):
            assert 400 <= outcome.status < 500
        elif isinstance(outcome, asking.Ask):
            assert 1 <= outcome.question.count <= 20
            assert not set(outcome.reader_fields) & {"url", "html", "pdf", "file", "tokenBudget"}
            assert not any(name.startswith("x-sluice") for name in outcome.reader_headers)


@given(
    st.lists(
        st.tuples(WORDS, st.lists(st.tuples(NAMES, WORDS), max_size=3)), min_size=20, max_size=20
    )
)
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_request_is_a_5xx_and_no_refusal_is_charged(
    local: Asker, asked: list[tuple[str, list[tuple[str, str]]]]
) -> None:
    async def ask_all() -> None:
        for query, parameters in asked:
            path = "/" + quote(query.encode("utf-8", "replace"), safe="")
            rows = [(n, v.encode("utf-8", "replace")) for n, v in parameters if n != "timeout"]
            got = await local.get(f"{path}?{urlencode(rows)}")
            body = orjson.dumps(
                {"q": query.encode("utf-8", "replace").decode(), **{n: v.decode() for n, v in rows}}
            )
            posted = await local.post("/", body)
            for answer in (got, posted):
                assert answer.status < 500, (path, rows, answer.text)
                assert answer.status == 200 or answer.void

    asyncio.run(ask_all())
