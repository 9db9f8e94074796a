"""The client's trace context: what is valid goes on as it came, what is not goes nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.edge.trace_context import trace_lines
from tests.control.conftest import Open
from tests.operations.conftest import Asked

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
WRONG = [
    "",
    "00",
    PARENT.upper(),
    PARENT + "-00",
    PARENT[:-1],
    "ff" + PARENT[2:],
    PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    PARENT.replace("b7ad6b7169203331", "0" * 16),
    PARENT.replace("-", "_"),
    PARENT + "\u00e9",
    f"{PARENT}, {PARENT}",
    "01" + PARENT[2:] + "-" + "x" * 600,
]


def _lines(*headers: tuple[str, str]) -> bytes:
    return trace_lines(CIMultiDictProxy(CIMultiDict(headers)))


def test_a_valid_context_goes_on_as_it_came() -> None:
    assert _lines(("Traceparent", PARENT)) == f"traceparent: {PARENT}\r\n".encode()
    state = ("tracestate", "rojo=00f067aa0ba902b7,acme@x=t61rcWkgMzE")
    assert _lines(("traceparent", PARENT), state).endswith(
        b"tracestate: rojo=00f067aa0ba902b7,acme@x=t61rcWkgMzE\r\n"
    )
    later = "cc" + PARENT[2:] + "-what-the-future-brings"
    assert _lines(("traceparent", later)) == f"traceparent: {later}\r\n".encode()


def test_several_lines_of_state_are_one() -> None:
    lines = _lines(("traceparent", PARENT), ("tracestate", "a=1, ,b=2"), ("Tracestate", "c=3"))
    assert lines.endswith(b"\r\ntracestate: a=1,b=2,c=3\r\n")


@pytest.mark.parametrize("parent", WRONG)
def test_what_is_no_context_goes_nowhere(parent: str) -> None:
    assert _lines(("traceparent", parent), ("tracestate", "a=1")) == b""


def test_two_contexts_are_none() -> None:
    assert _lines(("traceparent", PARENT), ("traceparent", PARENT)) == b""


@pytest.mark.parametrize(
    "state",
    [
        "",
        "a",
        "A=1",
        "a=1,a=2",
        "a=1;b",
        "a=\x7f",
        "a=1=2",
        ",".join(f"k{n}=v" for n in range(33)),
        "a=" + "x" * 600,
    ],
)
def test_a_state_that_is_not_valid_is_left_out(state: str) -> None:
    lines = _lines(("traceparent", PARENT), ("tracestate", state))
    expected = b"" if state != "a=1;b" else b"tracestate: a=1;b\r\n"
    assert lines == f"traceparent: {PARENT}\r\n".encode() + expected


@given(st.text(max_size=80), st.text(max_size=80))
def test_nothing_of_a_client_breaks_out_of_its_header(parent: str, state: str) -> None:
    for given_parent in (parent, PARENT, PARENT + parent):
        lines = _lines(("traceparent", given_parent), ("tracestate", state))
        assert lines.isascii()
        assert lines.count(b"\r\n") == lines.count(b"\n") == lines.count(b"\r") <= 2


async def test_the_service_gets_the_context_of_a_product_call_and_of_a_list(
    open_door: Open, service: str, asked: Asked
) -> None:
    async with open_door(SERVICE_CLASSIFIER_URL=service) as door:
        key = (await door.mint())["api_key"]
        context = {"traceparent": PARENT, "tracestate": "a=1"}
        page, classifiers = ("/https://a.example/", "r.localhost"), ("/v1/classifiers", None)
        for headers in (context, {"tracestate": "a=1"}):
            for path, host in (page, classifiers):
                how = {"host": host} if host else {}
                told = await door.ask("GET", path, bearer=key, headers=headers, **how)
                assert told.status == 200, told
        seen = [(each.get("traceparent"), each.get("tracestate")) for each in asked]
        assert seen == [(PARENT, "a=1"), (PARENT, "a=1"), (None, None), (None, None)]
