"""Whatever is wrong with a request: a 4xx with `detail` in the envelope, void; never a 5xx."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.asking import Answer
from tests.services.classifier.conftest import opened
from tests.services.classifier.desk import Desk, Json
from tests.services.classifier.standin import MODEL, StandIn

SOME_ID = "6d1f2a0e-32d1-4c06-9d5f-0a3c9b2f7e11"
GOOD = [{"text": "x", "label": "a"}, {"text": "y", "label": "b"}]
WRONG_LABELS: list[Any] = [7, True, None, [], {}, "", " ", "\0", "x" * 1_001]
WRONG_TYPES: list[Any] = [7, 1.5, True, {}, {"a": 1}, [7], [None], [[]], [{}], [True]]

ZERO: Json = {"model": MODEL, "input": "x", "labels": ["a", "b"]}
FEW: Json = {"classifier_id": SOME_ID, "input": "x"}
TRAIN: Json = {"model": MODEL, "input": GOOD}

OF_CLASSIFY: list[Json] = [
    *({**ZERO, "input": value} for value in [*WRONG_TYPES, [], None]),
    *({**ZERO, "labels": value} for value in [*WRONG_TYPES, [], "text", ["a", 1], [""], ["a"]]),
    *({**ZERO, "labels": value} for value in (["a", " "], ["a", "b\0"], ["a", "x" * 1_001])),
    *({**ZERO, "labels": {"g": value}} for value in ([], None, "text", 3, ["a", None])),
    {**ZERO, "labels": {"": ["a", "b"]}},
    *({**ZERO, "model": value} for value in [7, True, [], {}, ""]),
    *({**FEW, "classifier_id": value} for value in [7, True, [], {}]),
    *({**FEW, "input": value} for value in [*WRONG_TYPES, [], None]),
    {**ZERO, "classifier_id": SOME_ID},
    {**FEW, "labels": ["a", "b"]},
    {"input": "x"},
    {"input": "x", "labels": ["a", "b"]},
    {"model": MODEL, "input": "x"},
    {**ZERO, "input": ["x"] * 1_025},
    {**ZERO, "input": ["w " * 8_193]},
    {**ZERO, "input": [{"text": "x", "image": "aGVsbG8="}]},
    {**ZERO, "input": [{"url": "ftp://x"}]},
    {**ZERO, "input": [{"text": 5}]},
]
OF_TRAIN: list[Json] = [
    *({**TRAIN, "input": value} for value in [*WRONG_TYPES, [], None, "text", ["text"]]),
    *({**TRAIN, "input": [*GOOD, {"text": "x", "label": label}]}
      for label in WRONG_LABELS),
    *({**TRAIN, "input": [*GOOD, value]}
      for value in ({"label": "a"}, {"text": "x"}, {"text": 1, "label": "a"}, "x", None, 5)),
    *({**TRAIN, "num_iters": value}
      for value in [0, -1, 1.5, "ten", "10", True, [], {}, 1_000_001, 1e30]),
    *({**TRAIN, "access": value} for value in ["secret", "", 7, True, []]),
    *({**TRAIN, "model": value} for value in [7, True, [], {}, ""]),
    {**TRAIN, "classifier_id": SOME_ID},
    {"input": GOOD},
    {"model": MODEL},
    {"model": MODEL, "input": [GOOD[0], GOOD[0]]},
    {"model": MODEL, "input": GOOD[0]},
    {"model": MODEL, "input": GOOD * 513},
    {"model": MODEL, "input": [{"image": "aGVsbG8=", "label": "a"}, *GOOD]},
]  # fmt: skip
NO_JSON = [
    b"", b"{", b"[]", b"null", b"7", b'"text"', b"\xff\xfe", b'{"input": NaN}',
    b'{"model": "m", "input": "\\ud800", "labels": ["a", "b"]}',
    b'{"model": "m", "input": "x", "labels": ["a", "\\udc00"]}',
    b'{"num_iters": Infinity}', b"[" * 100_000,
]  # fmt: skip


def check_refused(answer: Answer) -> None:
    """A refusal of the api. hosts that nobody is charged for."""
    assert 400 <= answer.status < 500, answer.text
    assert answer.void
    assert answer.headers["Content-Type"].startswith("application/json")
    body = answer.json
    assert set(body) == {"detail", "code", "request_id", "message", "error"}
    if answer.status == 422:
        for entry in body["detail"]:
            assert set(entry) == {"loc", "msg", "type"}
            assert entry["loc"][0] == "body"
    else:
        assert isinstance(body["detail"], str)


async def test_every_wrong_body_of_classify_is_refused_and_void(desk: Desk) -> None:
    for body in OF_CLASSIFY:
        check_refused(await desk.classify(body))


async def test_every_wrong_body_of_train_is_refused_and_void(desk: Desk) -> None:
    for body in OF_TRAIN:
        check_refused(await desk.train(body))
    assert (await desk.get()).json == []


async def test_what_is_no_json_object_is_422_with_a_list(desk: Desk) -> None:
    for path in ("/v1/train", "/v1/classify"):
        for raw in NO_JSON:
            answer = await desk.ask("POST", path, raw)
            check_refused(answer)
            assert answer.status == 422


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/train", 405, "POST"),
        ("PUT", "/v1/classify", 405, "POST"),
        ("DELETE", "/v1/classifiers", 405, "GET, HEAD"),
        ("PATCH", f"/v1/classifiers/{SOME_ID}", 405, "GET, HEAD, DELETE"),
        ("GET", "/v1/classifiers/no-id", 404, None),
        ("GET", "/v1/classifiers/%00", 404, None),
        ("DELETE", f"/v1/classifiers/{SOME_ID}", 404, None),
        ("DELETE", f"/v1/classifiers/{SOME_ID}/more", 404, None),
    ],
)
async def test_wrong_method_or_id_is_refused_by_name(
    desk: Desk, method: str, path: str, status: int, allow: str | None
) -> None:
    answer = await desk.ask(method, path)
    check_refused(answer)
    assert answer.status == status
    assert answer.headers.get("Allow") == allow


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
    | st.text(max_size=8) | st.sampled_from([MODEL, SOME_ID, "a", "private"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["text", "label", "image", "url", "g"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
FIELDS = ["model", "classifier_id", "input", "labels", "num_iters", "access"]


@settings(max_examples=60, deadline=None)
@given(bodies=st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON), min_size=8, max_size=8))
async def test_no_body_whatever_is_a_5xx_of_ours(bodies: list[Json]) -> None:
    async with opened(None, StandIn()) as desk:
        for body in bodies:
            for path in ("/v1/train", "/v1/classify"):
                answer = await desk.ask("POST", path, orjson.dumps(body))
                # There is no database: what would need it is told so, and only that is.
                if answer.status == 503:
                    assert answer.json["code"] == "SERVICE_UNAVAILABLE"
                elif answer.status != 200:
                    check_refused(answer)
