"""`_token`: a key in the query of r. and s.; nobody behind the gateway gets to see it."""

import logging

import pytest

from tests.edge.door import API, READER, TRIAL, Door, Key
from tests.edge.paying import only_row
from tests.edge.scripts import answering
from tests.edge.stub import Stub

PAGE = answering(b"# A page", [("x-usage-tokens", "7")], kind="text/plain")


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [
        ("/https://a.example/?_token={}", "/https://a.example/"),
        ("/https://a.example/?b=1&_token={}", "/https://a.example/?b=1"),
        ("/https://a.example/?_token={}&b=1", "/https://a.example/?b=1"),
        ("/https://a.example/?a=1&_token={}&b=1", "/https://a.example/?a=1&b=1"),
        ("/https://a.example/?_token={0}&_token={0}", "/https://a.example/"),
        ("/r/https://a.example/?x&_token={}", "/https://a.example/?x"),
    ],
)
async def test_a_key_in_the_query_pays_and_goes_no_further(
    door: Door,
    key: Key,
    reader: Stub,
    caplog: pytest.LogCaptureFixture,
    target: str,
    forwarded: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    reader.script = PAGE
    host = "127.0.0.1" if target.startswith("/r/") else READER
    reply = await door.ask("GET", target.format(key.text), host=host)
    assert (reply.status, reply["x-usage-tokens"]) == (200, "7")
    turn = reader.turns[0]
    assert turn.path == forwarded
    assert key.text not in str(turn.headers)
    assert "authorization" not in turn.names
    await only_row(door, key)
    assert await door.balance(key) == TRIAL - 7
    assert key.text not in caplog.text


async def test_a_header_goes_before_it_and_it_is_still_taken_out(
    door: Door, key: Key, reader: Stub
) -> None:
    reader.script = PAGE
    other = await door.key()
    target = f"/https://a.example/?_token={other.text}"
    assert (await door.ask("GET", target, host=READER, key=key)).status == 200
    assert reader.turns[0].path == "/https://a.example/"
    await only_row(door, key)
    assert await door.balance(other) == TRIAL


async def test_a_field_of_that_name_that_is_no_key_belongs_to_the_page(
    door: Door, reader: Stub
) -> None:
    reader.script = PAGE
    target = "/https://a.example/?_token=d41d8cd98f00&a=b"
    reply = await door.ask("GET", target, host=READER, headers=[door.address()])
    assert reply.status == 200
    assert reader.turns[0].path == target


async def test_a_wrong_key_in_the_query_is_refused(door: Door, reader: Stub) -> None:
    wrong = door.settings.key_prefix + "typo"
    reply = await door.ask("GET", f"/https://a.example/?_token={wrong}", host=READER)
    assert reply.status == 401
    assert wrong.encode() not in reply.body
    assert reader.turns == []


async def test_a_balance_is_told_to_a_key_in_the_query(door: Door, key: Key) -> None:
    reply = await door.ask("GET", f"/?_token={key.text}", host=READER)
    assert reply.status == 200
    assert f"{TRIAL}".encode() in reply.body.replace(b",", b"")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", '{{"url": "https://a.example/", "_token" : "{}"}}'),
        ("application/x-www-form-urlencoded", "_token={}&url=https%3A%2F%2Fa.example"),
        ("application/x-www-form-urlencoded", "url=https%3A%2F%2Fa.example&_token={}"),
        (
            "multipart/form-data; boundary=x",
            '--x\r\nContent-Disposition: form-data; name="_token"\r\n\r\n{}\r\n--x--\r\n',
        ),
    ],
)
async def test_a_key_in_the_body_is_refused_with_what_to_do(
    door: Door, key: Key, reader: Stub, kind: str, body: str
) -> None:
    """It would go to the service: the body does, as it came."""
    text = body.format(key.text).encode()
    for who in (None, key):
        headers = [("content-type", kind), door.address()]
        reply = await door.ask("POST", "/", host=READER, key=who, body=text, headers=headers)
        assert (reply.status, reply.json()["reason"]) == (401, "AUTH_INVALID_FORMAT")
        assert "_token in the query" in reply.json()["message"]
    assert reader.turns == []


async def test_a_page_that_is_uploaded_may_have_a_field_of_that_name(
    door: Door, reader: Stub
) -> None:
    reader.script = PAGE
    body = b'{"html": "<input name=\\"_token\\" value=\\"abc\\">", "_token": "abc"}'
    reply = await door.ask("POST", "/", host=READER, body=body, headers=[door.address()])
    assert reply.status == 200
    assert reader.turns[0].body == body


async def test_api_takes_no_key_from_the_query(door: Door, key: Key, embeddings: Stub) -> None:
    reply = await door.ask("POST", f"/v1/embeddings?_token={key.text}", host=API, body=b"{}")
    assert reply.status == 401
    assert embeddings.turns == []
