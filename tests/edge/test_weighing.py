"""What is held for a body by its content type: JSON, forms, and what nobody reads."""

import orjson
import pytest
from multidict import CIMultiDict

from gateway.edge.hosts import Route, Router
from gateway.edge.measure import Measured, Measurer
from gateway.edge.room import BodyRoom
from gateway.errors import Problem
from gateway.products.builtin import load_catalogue
from gateway.products.estimator import HoldEstimator
from gateway.tokenizer import Tokenizer

ROUTER = Router(load_catalogue(None), "localhost")
MEASURER = Measurer(HoldEstimator(), Tokenizer(), BodyRoom(), 1_000)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
PARTS = "multipart/form-data; boundary=x"


async def weigh(
    body: bytes, kind: str = "", path: str = "/search", *, is_read: bool = True
) -> Measured | Problem:
    route = ROUTER.route("s.localhost", "POST", path)
    assert isinstance(route, Route)
    headers = CIMultiDict({"content-type": kind} if kind else {})
    return await MEASURER.weigh(route, headers, body, is_read=is_read)


@pytest.mark.parametrize(
    ("body", "kind", "held"),
    [
        (orjson.dumps({"q": "x"}), JSON, 10_000),
        (orjson.dumps({"q": "x", "num": 20}), JSON, 20_000),
        (orjson.dumps({"q": "x", "num": 20, "type": "news"}), "", 100_000),
        (b'{"q": "x", "n\\u0075m": "20"}', "text/plain", 20_000),
        (b'{"q": "x", "num": 5, "num": 20}', JSON, 20_000),
        (b"q=x&num=20&type=images", FORM, 100_000),
        (b"q=x&num=11", FORM, 20_000),
        (b'--x\r\nContent-Disposition: form-data; name="q"\r\n\r\nx\r\n--x--', PARTS, 20_000),
        (b"  \r\n", JSON, 10_000),
    ],
)
async def test_a_search_is_held_for_as_its_service_reads_its_body(
    body: bytes, kind: str, held: int
) -> None:
    found = await weigh(body, kind)
    assert isinstance(found, Measured)
    assert found.hold_tokens == held


async def test_query_and_body_of_a_search_count_together() -> None:
    found = await weigh(b'{"type": "images"}', JSON, "/search?q=x&count=20")
    assert isinstance(found, Measured)
    assert found.hold_tokens == 100_000


async def test_a_body_that_is_no_json_is_refused_unless_nobody_reads_it() -> None:
    assert isinstance(await weigh(b"not json", JSON), Problem)
    found = await weigh(b"not json", JSON, "/search?q=x", is_read=False)
    assert isinstance(found, Measured)
    assert (found.hold_tokens, found.body) == (10_000, b"not json")
