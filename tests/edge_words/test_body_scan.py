"""The scan finds what json.loads finds, in slices of bounded time, whatever a client sends."""

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.edge.body_scan import MAX_DEPTH, BodyScan, Large, Scanned, Value, scan
from gateway.errors import Problem
from gateway.units import MIB

WANTED = frozenset({"classifier_id", "labels", "num_iters", "stream"})


def fields(body: bytes) -> dict[str, object]:
    found = scan(body, WANTED)
    assert isinstance(found, Scanned), found
    return dict(found.fields)


def refusal(body: bytes) -> str:
    found = scan(body, WANTED)
    assert isinstance(found, Problem), found
    assert found.status == 400
    return found.detail


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", {}),
        (b" \r\n\t{ } ", {}),
        (b'{"labels":["a"],"model":"m"}', {"labels": Large.ARRAY}),
        (b'{"labels":{"g":["a"]}}', {"labels": Large.OBJECT}),
        (b'{"input":[{"labels":1},"{\\"labels\\":2}"]}', {}),
        (b'{"class\\u0069fier_id":"x"}', {"classifier_id": "x"}),
        (
            b'{"\\u006e\\u0075\\u006d\\u005f\\u0069\\u0074\\u0065\\u0072\\u0073":3}',
            {"num_iters": 3},
        ),
        (b'{ "num_iters" \n:\t 12 ,"stream":true}', {"num_iters": 12, "stream": True}),
        (b'{"num_iters":1,"num_iters":2}', {"num_iters": 2}),
        (b'{"classifier_id":"x","classifier_id":null}', {"classifier_id": None}),
        (b'{"classifier_id":"a\\"b\\\\"}', {"classifier_id": 'a"b\\'}),
        (b'{"num_iters":1.5e2,"x":-0.5}', {"num_iters": 150.0}),
        (b'{"classifier_id":"' + b"x" * 500 + b'"}', {"classifier_id": Large.TEXT}),
        (b'{"' + b"k" * 5000 + b'":1,"num_iters":2}', {"num_iters": 2}),
        (b'{"":1,"\\"":2,"num_iters":3}', {"num_iters": 3}),
        ('{"日本":"語","num_iters":3}'.encode(), {"num_iters": 3}),
        (b'{"a":"\\\\","num_iters":3}', {"num_iters": 3}),
        (b'{"a":"\\\\\\"","num_iters":3}', {"num_iters": 3}),
        (b'{"a":[],"b":{},"c":[[[]]],"num_iters":3}', {"num_iters": 3}),
    ],
)
def test_top_level_fields_are_found(body: bytes, expected: dict[str, Value]) -> None:
    assert fields(body) == expected


def test_null_is_absent_and_true_is_no_number() -> None:
    found = scan(b'{"classifier_id":null,"labels":[],"stream":1,"num_iters":true}', WANTED)
    assert isinstance(found, Scanned)
    assert not found.has("classifier_id")
    assert found.has("labels")
    assert not found.has("missing")
    assert found.integer("num_iters") is None


@pytest.mark.parametrize(
    ("raw", "number"),
    [("10", 10), ("10.0", 10), ("-3", -3), ("1e30", 10**30), ("1.5", None), ('"10"', None)],
)
def test_integer_is_whole_or_none(raw: str, number: int | None) -> None:
    found = scan(b'{"num_iters":%b}' % raw.encode(), WANTED)
    assert isinstance(found, Scanned)
    given_ = found.integer("num_iters")
    assert given_ is None if number is None else given_ == int(float(number))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":1',
        b'{"a":1,',
        b'{"a":1}}',
        b'{"a":1} x',
        b'{"a" 1}',
        b"{a:1}",
        b'{"a":}',
        b'{"a":1 "b":2}',
        b'{"a":"x}',
        b'{"a":"x\\"}',
        b'{"a":[1,2}',
        b'{"a":[1,2',
        b'{"a":nope}',
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"url=https%3A%2F%2Fexample.com",
        b"--boundary\r\ncontent-disposition: form-data\r\n",
    ],
)
def test_what_is_no_json_object_is_refused_with_a_sentence(body: bytes) -> None:
    assert refusal(body).startswith("The request body cannot be read: ")


KEYS = st.sampled_from([*sorted(WANTED), "a", "input", "", 'quo"te', "back\\slash"]) | st.text(
    max_size=6
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.text(alphabet='\\"[]{},: ', max_size=12)
    | st.just("x" * 300)
    | st.just('y"' * 150)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)


def as_scanned(document: dict[str, Any]) -> dict[str, object]:
    expected: dict[str, object] = {}
    for name in WANTED & document.keys():
        value = document[name]
        if isinstance(value, list):
            value = Large.ARRAY
        elif isinstance(value, dict):
            value = Large.OBJECT
        expected[name] = value
    return expected


@settings(max_examples=400)
@given(
    document=DOCUMENTS,
    indent=st.none() | st.integers(0, 3),
    escapes=st.booleans(),
)
def test_scan_agrees_with_json_loads(
    document: dict[str, Any], indent: int | None, escapes: bool
) -> None:
    body = json.dumps(document, indent=indent, ensure_ascii=escapes).encode("utf-8", "replace")
    expected = as_scanned(json.loads(body))
    found = fields(body)
    for name, value in expected.items():
        raw_bytes = len(json.dumps(value, ensure_ascii=escapes)) if isinstance(value, str) else 0
        if found[name] is Large.TEXT:
            # Long texts, and lone surrogates, are present but not read.
            assert isinstance(value, str)
            assert raw_bytes > 60 or "\\ud" in json.dumps(value)
        else:
            assert found[name] == value
            assert type(found[name]) is type(value)
    assert found.keys() == expected.keys()


@given(pairs=st.lists(st.tuples(KEYS, VALUES), max_size=6))
def test_of_repeated_fields_the_last_counts_as_in_json(pairs: list[tuple[str, Any]]) -> None:
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in pairs)
    body = f"{{{text}}}".encode()
    expected = as_scanned(json.loads(body))
    found = fields(body)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value is Large.TEXT or value == expected[name]


@given(body=st.binary(max_size=80) | st.text(alphabet='{}[]":,\\a1 ', max_size=60).map(str.encode))
def test_any_bytes_give_fields_or_a_400(body: bytes) -> None:
    found = scan(body, WANTED)
    assert isinstance(found, Scanned) or found.status == 400


@given(document=DOCUMENTS, cut=st.integers(0, 200))
def test_a_body_cut_short_is_never_taken_for_whole(document: dict[str, Any], cut: int) -> None:
    body = json.dumps(document).encode()
    if cut < len(body):
        assert isinstance(scan(body[:cut], WANTED), Problem)


def test_nesting_up_to_the_bound_passes_and_beyond_is_refused() -> None:
    assert fields(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b',"labels":[]}')
    deeper = MAX_DEPTH + 2
    assert "nested deeper" in refusal(b'{"a":' + b"[" * deeper + b"]" * deeper + b"}")


def wrapped(middle: bytes) -> bytes:
    return b'{"input":[' + middle + b'],"labels":["a"]}'


HOSTILE = {
    "plain": wrapped(b'"' + b"a" * (4 * MIB) + b'"'),
    "escapes": wrapped(b'"' + b"\\\\" * (2 * MIB) + b'"'),
    "escaped quotes": wrapped(b'"' + b'\\"' * (2 * MIB) + b'"'),
    "endless text": wrapped(b'"' + b'\\"' * (2 * MIB)),
    "empty texts": wrapped(b'""' * (2 * MIB)),
    "brackets": wrapped(b"[" * (4 * MIB)),
    "empty lists": wrapped(b"[]" * (2 * MIB)),
    "lists of lists": wrapped(b"[[]]" * MIB),
    "lists of lists of lists": wrapped(b"[[[]]]" * MIB),
    "objects": wrapped(b'{"a":1},' * (MIB // 2)),
    "numbers": wrapped(b"0.123456," * (MIB // 2)),
    "space": wrapped(b" " * (4 * MIB)),
    "space at the root": b" " * (4 * MIB) + b"{}",
    "fields": b"{" + b'"a":1,' * (MIB // 2) + b'"labels":1}',
    "long field": b'{"' + b'\\"' * MIB + b'":1}',
    "texts above the short form": wrapped((b'"' + b"x" * 300 + b'\\"",') * (4 * MIB // 305)),
    "texts below the short form": wrapped((b'"' + b'\\"' * 7 + b'",') * (4 * MIB // 17)),
    "number without end": b'{"num_iters":' + b"1" * (4 * MIB) + b"}",
    "closing brackets": b'{"a":1' + b"]" * (4 * MIB),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_body_never_holds_the_loop(name: str) -> None:
    body = HOSTILE[name]
    best_ms = min(_worst_step_ms(body) for _ in range(2))
    # At most 25 ms by design, 18 ms measured; the bound leaves room for a machine under load.
    assert best_ms < 60


def _worst_step_ms(body: bytes) -> float:
    scanning, worst_s, steps = BodyScan(body, WANTED), 0.0, 0
    while True:
        started = time.thread_time()
        result = scanning.step()
        worst_s = max(worst_s, time.thread_time() - started)
        steps += 1
        if result is not None:
            assert steps < 1_000
            return worst_s * 1000


def test_large_honest_body_is_scanned_in_several_steps() -> None:
    document = {"input": [{"text": "a sentence " * 400} for _ in range(1024)], "labels": ["a"]}
    scanning, steps = BodyScan(json.dumps(document).encode(), WANTED), 1
    while (result := scanning.step()) is None:
        steps += 1
    assert isinstance(result, Scanned)
    assert result.has("labels")
    assert steps > 3
