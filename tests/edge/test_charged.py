"""Who pays: complete answers, and every place in which a service may report their usage."""

import asyncio

import orjson
import pytest

from tests.edge.door import API, READER, Door, Key
from tests.edge.paying import BODY, Cost, charged, embed, paid, told
from tests.edge.scripts import HEADER, LARGE, TEXT, answering, chunked, large
from tests.edge.stub import Stub, used


async def test_usage_in_a_header_is_charged(door: Door, key: Key, embeddings: Stub) -> None:
    reply = await charged(door, key, embeddings, answering(used(7), HEADER), 7)
    assert reply.body == used(7)
    assert reply["x-usage-rule"] == "reported"


async def test_usage_in_json_is_charged(door: Door, key: Key, embeddings: Stub) -> None:
    await charged(door, key, embeddings, answering(used(19)), 19)


async def test_usage_in_a_trailer_is_charged(door: Door, key: Key, embeddings: Stub) -> None:
    script = chunked([b'{"data"', b": [1]}"], trailers=[("X-Usage-Tokens", "23")])
    reply = await charged(door, key, embeddings, script, 23)
    assert reply.body == b'{"data": [1]}'


@pytest.mark.parametrize("headers", [[], HEADER])
async def test_usage_of_a_streamed_answer_is_charged(
    door: Door, key: Key, embeddings: Stub, headers: list[tuple[str, str]]
) -> None:
    body = large(b'"usage": {"total_tokens": 7}, ')
    reply = await charged(door, key, embeddings, answering(body, headers), 7)
    assert reply.body == body


async def test_usage_behind_the_bulk_of_a_streamed_answer_is_charged(
    door: Door, key: Key, embeddings: Stub
) -> None:
    usage = b', "usage": {"details": {"image": 1}, "total_tokens": 31}, "object": "list"'
    body = large(b"", usage)
    await charged(door, key, embeddings, chunked([body[:1_000], body[1_000:]]), 31)


async def test_usage_in_a_trailer_of_a_streamed_answer_is_charged(
    door: Door, key: Key, embeddings: Stub
) -> None:
    script = chunked([large(b"")], trailers=[("x-usage-tokens", "37")])
    await charged(door, key, embeddings, script, 37)


@pytest.mark.parametrize("place", ["front", "behind"])
async def test_a_usage_deeper_in_a_streamed_answer_is_no_report(
    door: Door, key: Key, embeddings: Stub, place: str
) -> None:
    """What clients send comes back in answers: their own `usage` must not make them free."""
    planted = b'"usage": {"total_tokens": 0}'
    deep, true = b'"results": [{%b}]' % planted, b'"usage": {"total_tokens": 41}'
    body = (
        large(b'%b, %b, "more": [' % (deep, true), b"]")
        if place == "front"
        else large(b"", b", %b, %b" % (true, deep))
    )
    body = body if place == "behind" else large(b"%b, %b, " % (deep, true))
    await charged(door, key, embeddings, chunked([body]), 41)


async def test_a_report_of_0_is_0(door: Door, key: Key, embeddings: Stub) -> None:
    embeddings.script = answering(used(0))
    reply = await embed(door, key)
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("0", "reported")
    await paid(door, key, reply.request_id, Cost("complete", 0, 0, 0, "reported", 200))


@pytest.mark.parametrize("header", ["0", "07"])
async def test_a_header_goes_before_json(
    door: Door, key: Key, embeddings: Stub, header: str
) -> None:
    script = answering(used(19), [("x-usage-tokens", header)])
    await charged(door, key, embeddings, script, int(header))


GARBAGE = ["", "-7", "7.0", "1e3", "seven", "9" * 30, "٧", "+7", "0x7", "1_000"]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_a_header_that_is_no_number_is_no_report(
    door: Door, key: Key, embeddings: Stub, garbage: str
) -> None:
    script = answering(used(19), [("x-usage-tokens", garbage)])
    await charged(door, key, embeddings, script, 19)


@pytest.mark.parametrize("value", ["null", "-7", "7.5", '"7"', "true", "[7]", "1e40", "9" * 19])
async def test_without_a_report_our_own_count_of_the_input_is_charged(
    door: Door, key: Key, embeddings: Stub, value: str
) -> None:
    embeddings.script = answering(b'{"data": [1], "usage": {"total_tokens": %b}}' % value.encode())
    reply = await embed(door, key)
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("3", "own_count")
    cost = Cost("complete_unreported", 3, 3, None, "own_count", 200)
    await paid(door, key, reply.request_id, cost)


async def test_without_a_report_a_streamed_answer_is_charged_by_our_own_count(
    door: Door, key: Key, embeddings: Stub
) -> None:
    embeddings.script = chunked([large(b"")])
    reply = await embed(door, key)
    assert told(reply) == 3
    cost = Cost("complete_unreported", 3, 3, None, "own_count", 200)
    await paid(door, key, reply.request_id, cost)


async def test_without_a_report_a_long_input_is_counted_beside_the_event_loop(
    door: Door, key: Key, embeddings: Stub
) -> None:
    """Others are answered meanwhile."""
    embeddings.script = answering(b'{"data": [1]}')
    words = 150_000
    asked = asyncio.create_task(embed(door, key, b'{"input": "%b"}' % (b"one " * words)))
    while not asked.done():
        assert (await door.ask("GET", "/health")).status == 200
    reply = await asked
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == (str(words + 1), "own_count")
    cost = Cost("complete_unreported", words + 1, words + 1, None, "own_count", 200)
    await paid(door, key, reply.request_id, cost)


async def test_without_a_report_nothing_is_charged_where_the_output_counts(
    door: Door, key: Key, reader: Stub
) -> None:
    reader.script = answering(b"# A page", kind=TEXT)
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("0", "unreported")
    cost = Cost("complete_unreported", 0, None, None, "unreported", 200)
    await paid(door, key, reply.request_id, cost, "reader")


@pytest.mark.parametrize("path", ["meta.usage.tokens", "data.usage.tokens", "usage.tokens"])
@pytest.mark.parametrize("size", [10, LARGE])
async def test_every_usage_path_of_the_catalogue_is_read(
    door: Door, key: Key, reader: Stub, path: str, size: int
) -> None:
    document: object = 29
    for name in reversed(path.split(".")):
        document = {name: document}
    assert isinstance(document, dict)
    body = orjson.dumps({"code": 200, "text": "x" * size} | document)
    reader.script = chunked([body])
    reply = await door.ask("GET", "/https://a.example/", host=READER, key=key)
    assert reply.body == body
    await paid(door, key, reply.request_id, Cost("complete", 29, None, 29), "reader")


async def test_a_header_is_not_believed_where_the_catalogue_does_not_name_it(
    door: Door, key: Key, rerank: Stub
) -> None:
    """rerank of this catalogue reports in JSON first."""
    rerank.script = answering(used(19), HEADER)
    reply = await door.ask("POST", "/v1/rerank", key=key, body=BODY)
    assert reply["x-usage-tokens"] == "19"
    await paid(door, key, reply.request_id, Cost("complete", 19, 19, 19), "rerank")


async def test_a_product_that_is_free_counts_its_requests_and_charges_nothing(
    door: Door, key: Key, segmenter: Stub
) -> None:
    segmenter.script = answering(b'{"num_tokens": 78, "usage": {"tokens": 78}}')
    reply = await door.ask("POST", "/v1/segment", key=key, body=BODY)
    assert (reply["x-usage-tokens"], reply["x-usage-rule"]) == ("0", "free")
    cost = Cost("complete", 0, None, 78, "free", 200)
    await paid(door, key, reply.request_id, cost, "segment")


async def test_without_a_key_nothing_is_charged_and_the_request_counts(
    door: Door, reader: Stub
) -> None:
    reader.script = answering(b"# A page", HEADER, kind=TEXT)
    header = door.address()
    reply = await door.ask("GET", "/https://a.example/", host=READER, headers=[header])
    assert (reply.status, reply["x-usage-tokens"], reply["x-usage-rule"]) == (200, "0", "no_key")
    standing = await door.at_rest(f"a:{header[1]}", "reader")
    assert standing.products["reader"].remaining_requests == 19


async def test_what_the_owner_reads_of_a_request_is_what_happened(
    door: Door, key: Key, embeddings: Stub
) -> None:
    reply = await embed(door, key)
    shown = await door.ask("GET", f"/v1/requests/{reply.request_id}", key=key, host=API)
    found = shown.json()
    assert (found["outcome"], found["charged"], found["reported"]) == ("complete", 7, 7)
    assert (found["held"], found["rule"]) == (len(BODY), "reported")
    other = await door.key()
    hidden = await door.ask("GET", f"/v1/requests/{reply.request_id}", key=other)
    assert hidden.status == 404
