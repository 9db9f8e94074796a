"""What a client can get wrong at the control API: the right 4xx with a sentence, never a 5xx."""

from gateway.keys.format import RANDOM_BYTES, make_key
from tests.control.plain_http import Told, raw
from tests.control.rig import Door


def _sentence(told: Told) -> str:
    """The refusal's sentence; that it is a refusal of ours in the envelope of api."""
    document = told.json()
    assert document["request_id"] == told["x-request-id"]
    assert document["error"]["code"] == document["code"]
    detail = document["detail"]
    return str(detail[0]["msg"] if isinstance(detail, list) else detail)


BODIES_THAT_ARE_NO = [
    (b"[]", 400, "it must be a JSON object"),
    (b"null", 400, "it must be a JSON object"),
    (b"7", 400, "it must be a JSON object"),
    (b'{"a": ', 400, "cannot be read"),
    (b"a=b&c=d", 400, "cannot be read"),
    (b'{"a": NaN}', 400, "cannot be read"),
    (b'{"a": "\\ud800"}', 400, "cannot be read"),
    (b'{"a": "\xff"}', 400, "cannot be read"),
    (b"\x00", 400, "cannot be read"),
    (b"[" * 60_000, 400, "cannot be read"),
    (b'{"a": "' + b"x" * 65_536 + b'"}', 413, "at most 65,536 bytes"),
]


async def _bodies_that_are_no_object_are_refused(
    door: Door, body: bytes, status: int, words: str, call: str
) -> None:
    key = (await door.mint())["api_key"]
    if call == "mint":
        told = await door.ask("POST", "/v1/keys", body=body)
    else:
        told = await door.ask("DELETE", "/v1/keys/me", body=body, bearer=key)
    assert told.status == status
    assert words in _sentence(told)
    assert (await door.me(key))["status"] == "active"


async def test_bodies_that_are_no_object_are_refused(door: Door) -> None:
    for call in ["mint", "revoke"]:
        for case in BODIES_THAT_ARE_NO:
            await _bodies_that_are_no_object_are_refused(door, *case, call)


async def test_bodies_that_lie_about_themselves_are_refused(door: Door) -> None:
    huge = await door.ask("POST", "/v1/keys", headers={"Content-Length": "99999999999999"})
    assert huge.status == 413
    zipped = await door.ask("POST", "/v1/keys", body=b"{}", headers={"Content-Encoding": "gzip"})
    assert zipped.status == 415
    head = b"POST /v1/keys HTTP/1.1\r\nHost: x\r\n"
    for line in (b"Content-Length: -1", b"Content-Length: 2\r\nContent-Length: 3"):
        told = await raw(door.port, head + line + b"\r\n\r\n{}")
        assert told.status == 400, line
        assert "not a well-formed HTTP request" in _sentence(told)
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    chunked = await raw(
        door.port, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 3 + b"0\r\n\r\n"
    )
    assert chunked.status == 413
    broken = await raw(door.port, head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
    assert broken.status == 400


async def test_a_body_where_none_is_read_changes_nothing(door: Door) -> None:
    key = (await door.mint())["api_key"]
    for body in (b"[", b"x" * 70_000):
        told = await door.ask("GET", "/v1/keys/me", bearer=key, body=body)
        assert told.status == 200


WRONG_METHODS_NAME_THE = [
    ("/v1/keys", {"POST"}),
    ("/v1/keys/me", {"GET", "DELETE"}),
    ("/v1/keys/me/usage", {"GET"}),
    ("/v1/keys/me/transfer", {"POST"}),
    ("/v1/requests/01930000-0000-7000-8000-000000000000", {"GET"}),
    ("/v1/billing/checkout", {"POST"}),
    ("/v1/billing/orders", {"GET"}),
]


async def _wrong_methods_name_the_right_ones(door: Door, path: str, allowed: set[str]) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "LINK"):
        told = await door.ask(method, path)
        if method in allowed:
            assert told.status != 405
            continue
        assert told.status == 405, method
        assert set(told["allow"].split(", ")) == allowed | {"OPTIONS"}
        assert f"{method} is not allowed at {path}" in _sentence(told)


async def test_wrong_methods_name_the_right_ones(door: Door) -> None:
    for case in WRONG_METHODS_NAME_THE:
        await _wrong_methods_name_the_right_ones(door, *case)


A_MALFORMED_AUTHORIZATION_IS = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer a b",
    "Basic dXNlcjpwYXNz",
    "sluice_abc",
    "Bearer \udcff\udcfe",
    "Bearer sluice_\udce9",
    "Bearer 鍵",
    "Bearer " + "x" * 8_000,
    "Bearer sluice_" + "٣" * 60,
]


async def _a_malformed_authorization_is_401_with_a_sentence(door: Door, header: str) -> None:
    queries = door.node.ground.postgres.queries
    for path in ("/v1/keys/me", "/v1/keys/me/usage", "/v1/requests/x"):
        told = await door.ask("GET", path, headers={"Authorization": header})
        assert told.status == 401
        assert told["www-authenticate"] == "Bearer"
        assert "key" in _sentence(told).lower()
    # The shipper's beat may have come in between.
    assert door.node.ground.postgres.queries - queries <= 1


async def test_a_malformed_authorization_is_401_with_a_sentence(door: Door) -> None:
    for case in A_MALFORMED_AUTHORIZATION_IS:
        await _a_malformed_authorization_is_401_with_a_sentence(door, case)


async def test_a_typo_is_refused_without_a_query_and_an_unknown_key_with_one(door: Door) -> None:
    key = (await door.mint())["api_key"]
    unknown = make_key(bytes(RANDOM_BYTES), "sluice_")
    typos = [key[:-1] + other for other in "AB" if other != key[-1]]
    typos += [key[:20] + key[21] + key[20] + key[22:]] if key[20] != key[21] else []
    for kind, keys, most in (
        ("typo", typos, 0),
        ("unknown", [unknown], 1),
        ("again", [unknown], 0),
    ):
        before = door.node.ground.postgres.queries
        for each in keys:
            for host in ("r.localhost", "api.localhost"):
                told = await door.ask("GET", "/v1/keys/me", host=host, bearer=each)
                assert told.status == 401, kind
        beats = 1
        assert door.node.ground.postgres.queries - before <= most + beats, kind


NUMBERS_OUT_OF_RANGE = [
    ("days=0", "days"),
    ("days=-1", "days"),
    ("days=1.5", "days"),
    ("days=1e3", "days"),
    ("days=367", "days"),
    ("days=", "days"),
    ("days=%D9%A3", "days"),
    ("days=%ff", "days"),
    ("days=99999999999999999999", "days"),
    ("days=" + "0" * 11 + "5" + "0" * 6_000, "days"),
    ("recent=0", "recent"),
    ("recent=1001", "recent"),
    ("recent=all", "recent"),
    ("by=hour", "by"),
    ("by=day,hour", "by"),
    ("by=%00", "by"),
]


async def _numbers_out_of_range_name_the_parameter(door: Door, query: str, field: str) -> None:
    key = (await door.mint())["api_key"]
    told = await door.ask("GET", f"/v1/keys/me/usage?{query}", bearer=key)
    assert told.status == 422
    (detail,) = told.json()["detail"]
    assert detail["loc"] == ["query", field]
    assert "must be" in detail["msg"]


async def test_numbers_out_of_range_name_the_parameter(door: Door) -> None:
    for case in NUMBERS_OUT_OF_RANGE:
        await _numbers_out_of_range_name_the_parameter(door, *case)


async def test_a_suspended_key_is_402_and_its_owner_sees_why(door: Door) -> None:
    minted = await door.mint()
    path = f"/admin/keys/{minted['key_id']}/status"
    await door.ops("PUT", path, document={"status": "suspended"})
    told = await door.spend(minted["api_key"], expected=402)
    assert told.json()["reason"] == "AUTHZ_KEY_SUSPENDED"
    assert told["x-usage-tokens"] == "0"
    assert (await door.me(minted["api_key"]))["status"] == "suspended"
    await door.ops("PUT", path, document={"status": "active"})
    await door.spend(minted["api_key"])


BILLING_WITHOUT_STRIPE_SAYS = [
    ("GET", "/v1/billing/packs"),
    ("POST", "/v1/billing/checkout"),
    ("GET", "/v1/billing/orders"),
    ("POST", "/v1/billing/webhook"),
]


async def _billing_without_stripe_says_what_to_set(door: Door, method: str, path: str) -> None:
    for bearer in (None, (await door.mint())["api_key"]):
        told = await door.ask(method, path, bearer=bearer)
        assert told.status == 503
        assert "SLUICE_STRIPE_SECRET_KEY" in _sentence(told)
        assert told.json()["code"] == "BILLING_NOT_CONFIGURED"


async def test_billing_without_stripe_says_what_to_set(door: Door) -> None:
    for case in BILLING_WITHOUT_STRIPE_SAYS:
        await _billing_without_stripe_says_what_to_set(door, *case)
