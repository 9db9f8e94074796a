"""The admin API: money once, limits at once on every node, and words for every mistake."""

import asyncio
import hmac
from typing import Any

import pytest

from gateway.keys.format import format_key_id
from tests.control.conftest import Open
from tests.control.rig import TOKEN, Door

NOBODY = format_key_id(12_345)


async def _credit(door: Door, key_id: str, **body: object) -> Any:
    return await door.ops("POST", f"/admin/keys/{key_id}/credit", document=body)


WITHOUT_THE_RIGHT_TOKEN = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Bearer {TOKEN}x",
    f"Bearer {TOKEN[:-1]}",
    f"Basic {TOKEN}",
    TOKEN,
    f"Bearer {TOKEN} {TOKEN}",
    "Bearer \udcff\udcfe",
    "Bearer " + "x" * 7_000,
]


async def _without_the_right_token_every_admin_call_is_401(door: Door, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for method, path in (
        ("GET", "/admin/keys?query=x"),
        ("POST", "/admin/keys"),
        ("GET", f"/admin/keys/{NOBODY}"),
        ("POST", f"/admin/keys/{NOBODY}/credit"),
        ("PUT", f"/admin/keys/{NOBODY}/limits"),
        ("PUT", f"/admin/keys/{NOBODY}/status"),
        ("PUT", f"/admin/keys/{NOBODY}/owner"),
        ("GET", "/admin/reconcile"),
    ):
        told = await door.ops(method, path, token=None, headers=headers, body=b"no json")
        assert told.status == 401, (method, path)
        assert told.json()["detail"] == "The admin token is missing or wrong"
        assert told["www-authenticate"] == "Bearer"


async def test_without_the_right_token_every_admin_call_is_401(door: Door) -> None:
    for case in WITHOUT_THE_RIGHT_TOKEN:
        await _without_the_right_token_every_admin_call_is_401(door, case)


async def test_scheme_of_the_token_may_be_written_in_any_case(door: Door) -> None:
    for scheme in ("bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        told = await door.ops("GET", "/admin/keys?query=zzzz", token=None, headers=headers)
        assert told.status == 200


async def test_without_a_configured_token_nobody_gets_in(open_door: Open) -> None:
    async with open_door(ADMIN_TOKEN="") as door:
        for token in ("", " ", "None", TOKEN):
            assert (await door.ops("GET", "/admin/keys?query=x", token=token)).status == 401


async def test_credit_counts_once_per_ref_however_often_it_is_sent(door: Door) -> None:
    minted = await door.mint()
    body = {"tokens": 1_000, "bucket": "paid", "ref": "invoice 7"}
    answers = await asyncio.gather(*(_credit(door, minted["key_id"], **body) for _ in range(10)))
    assert {told.status for told in answers} == {200}
    assert {told.json()["balance"]["paid"] for told in answers} == {1_000}
    for other in ({"tokens": 2}, {"bucket": "trial"}):
        told = await _credit(door, minted["key_id"], **{**body, **other})
        assert told.status == 409
        assert told.json()["code"] == "REF_USED_OTHERWISE"
    second = await door.mint()
    assert (await _credit(door, second["key_id"], **body)).status == 409
    assert (await door.me(minted["api_key"]))["balance"]["total"] == 10_001_000
    assert (await door.ops("GET", "/admin/reconcile")).json()["ok"]


async def test_paid_tokens_make_premium_with_the_next_request(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        minted = await here.mint()
        assert (await there.spend(minted["api_key"]))["x-ratelimit-limit-requests"] == "500"
        trial = await _credit(here, minted["key_id"], tokens=5, bucket="trial", ref="t")
        assert trial.json()["tier"] == "key"
        paid = await _credit(here, minted["key_id"], tokens=5, bucket="paid", ref="p")
        assert paid.json()["tier"] == "premium"
        for door in (there, here):
            told = await door.spend(minted["api_key"])
            assert told["x-ratelimit-limit-requests"] == "5000"
        assert (await there.me(minted["api_key"]))["tier"] == "premium"


async def test_limits_are_in_force_on_every_node_with_the_next_request(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        minted = await here.mint()
        key, path = minted["api_key"], f"/admin/keys/{minted['key_id']}/limits"
        for door in (here, there):
            await door.spend(key)
        told = await here.ops("PUT", path, document={"reader": {"rpm": 3}})
        assert told.status == 200
        assert told.json()["limits"] == {"reader": {"rpm": 3}}
        assert (await there.spend(key))["x-ratelimit-limit-requests"] == "3"
        for door in (here, there):
            refused = await door.spend(key, expected=429)
            assert refused["x-ratelimit-limit-requests"] == "3"
        # Both nodes remember the refusal for at most a second, and then the limit is the new one.
        await here.ops("PUT", path, document={"reader": {"rpm": 100}})
        await asyncio.sleep(1)
        for door in (here, there):
            assert (await door.spend(key))["x-ratelimit-limit-requests"] == "100"
        assert (await here.ops("PUT", path, document={"reader": None})).json()["limits"] == {}
        for door in (here, there):
            assert (await door.spend(key))["x-ratelimit-limit-requests"] == "500"
        shown = (await there.me(key))["limits"]["reader"]
        assert (shown["rpm"], shown["remaining_requests"]) == (500, 500 - 7)


async def test_null_resets_one_product_or_all_and_an_empty_body_nothing(door: Door) -> None:
    minted = await door.mint()
    path = f"/admin/keys/{minted['key_id']}/limits"
    both = {"reader": {"rpm": 3, "concurrency": 2}, "embeddings": {"tpm": 9}}
    assert (await door.ops("PUT", path, document=both)).json()["limits"] == both
    assert (await door.ops("PUT", path, document={})).json()["limits"] == both
    assert (await door.ops("PUT", path)).json()["limits"] == both
    left = (await door.ops("PUT", path, document={"reader": None})).json()["limits"]
    assert left == {"embeddings": {"tpm": 9}}
    assert (await door.ops("PUT", path, document=None)).json()["limits"] == {}


EVERY_MISTAKE_HAS_ITS = [
    ("credit", [], "must be a JSON object"),
    ("credit", {"tokens": 1, "bucket": "paid"}, "ref must be a text of 1 to 200"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": ""}, "ref must be a text"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": "a\x00b"}, "printable"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": "a\nb"}, "printable"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": "x" * 201}, "1 to 200"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": 7}, "ref must be a text"),
    ("credit", {"tokens": 0, "bucket": "paid", "ref": "r"}, "tokens must be a whole"),
    ("credit", {"tokens": -5, "bucket": "paid", "ref": "r"}, "tokens must be a whole"),
    ("credit", {"tokens": 1.5, "bucket": "paid", "ref": "r"}, "tokens must be a whole"),
    ("credit", {"tokens": 2**53, "bucket": "paid", "ref": "r"}, f"from 1 to {2**53 - 1}"),
    ("credit", {"tokens": True, "bucket": "paid", "ref": "r"}, "tokens must be a whole"),
    ("credit", {"tokens": "1", "bucket": "paid", "ref": "r"}, "tokens must be a whole"),
    ("credit", {"tokens": 2**53 - 1, "bucket": "paid", "ref": "r"}, "No balance can hold"),
    ("credit", {"tokens": 1, "bucket": "gold", "ref": "r"}, "bucket must be paid or trial"),
    ("credit", {"tokens": 1, "bucket": [], "ref": "r"}, "bucket must be paid or trial"),
    ("credit", {"tokens": 1, "bucket": "paid", "ref": "r", "key": 1}, "'key' is not known"),
    ("limits", [], "must be an object of products"),
    ("limits", 7, "must be an object of products"),
    ("limits", {"gold": {"rpm": 1}}, "there is no product 'gold'; the products are"),
    ("limits", {"reader": {"rps": 1}}, "rpm, tpm, concurrency"),
    ("limits", {"reader": 5}, "rpm, tpm, concurrency"),
    ("limits", {"reader": {"rpm": -1}}, "reader.rpm: must be null or a whole number"),
    ("limits", {"reader": {"rpm": 1.0}}, "reader.rpm"),
    ("limits", {"reader": {"rpm": 2**53}}, "reader.rpm"),
    ("limits", {"reader": {"tpm": "9"}}, "reader.tpm"),
    ("status", {}, "status must be active or suspended"),
    ("status", {"status": "revoked"}, "revoking is the owner's"),
    ("status", "suspended", "status must be"),
    ("owner", {"owner": "a\x00"}, "printable"),
    ("owner", {"owner": 5}, "owner must be a text"),
]


async def _every_mistake_has_its_sentence(door: Door, call: str, body: object, words: str) -> None:
    minted = await door.mint()
    method = "POST" if call == "credit" else "PUT"
    told = await door.ops(method, f"/admin/keys/{minted['key_id']}/{call}", document=body)
    assert told.status == 400
    assert words in told.json()["detail"]
    assert (await door.me(minted["api_key"]))["balance"]["total"] == 10_000_000


async def test_every_mistake_has_its_sentence(door: Door) -> None:
    for case in EVERY_MISTAKE_HAS_ITS:
        await _every_mistake_has_its_sentence(door, *case)


async def test_unknown_revoked_and_misspelt_keys_are_told_apart(door: Door) -> None:
    minted = await door.mint()
    await door.ask("DELETE", "/v1/keys/me", bearer=minted["api_key"])
    for key_id, status in ((NOBODY, 404), ("key_x", 400), ("%00", 400), (minted["key_id"], 409)):
        told = await _credit(door, key_id, tokens=1, bucket="paid", ref=f"r{status}")
        assert told.status == status
        path = f"/admin/keys/{key_id}"
        told = await door.ops("PUT", f"{path}/limits", document={"reader": {"rpm": 1}})
        assert told.status == status
        told = await door.ops("PUT", f"{path}/status", document={"status": "active"})
        assert told.status == status
        if status != 409:
            assert (await door.ops("GET", path)).status == status
            told = await door.ops("PUT", f"{path}/owner", document={"owner": "a"})
            assert told.status == status


async def test_keys_are_found_by_id_last_characters_and_owner_never_shown(door: Door) -> None:
    minted = await door.mint()
    key, key_id = minted["api_key"], minted["key_id"]
    await door.mint()
    owned = await door.ops("PUT", f"/admin/keys/{key_id}/owner", document={"owner": "Ada 100%"})
    assert owned.json()["owner"] == "Ada 100%"
    for query in (key_id, key[-4:], "ada", "Ada%20100%25", "ADA%201"):
        told = await door.ops("GET", f"/admin/keys?query={query}")
        (found,) = told.json()["items"]
        assert found["key_id"] == key_id
        assert found["last_characters"] == key[-4:]
        assert key.removeprefix("sluice_")[:20] not in told.text
    for query in ("a%25", "_da", "zz", key_id[:-1], "%ff", "%F0%9F%92%A9"):
        assert (await door.ops("GET", f"/admin/keys?query={query}")).json()["items"] == []
    for query in ("", "?query=", "?query=%00", f"?query={'x' * 201}"):
        told = await door.ops("GET", f"/admin/keys{query}")
        assert told.status == 400
        assert "query must be a text" in told.json()["detail"]
    shown = (await door.ops("GET", f"/admin/keys/{key_id}")).json()
    assert shown["balance"] == {"trial": 10_000_000, "paid": 0, "held": 0, "total": 10_000_000}
    assert shown["open_requests"] == 0


async def test_an_operator_mints_without_limit_and_with_an_owner(open_door: Open) -> None:
    async with open_door(KEYS_PER_ADDRESS="0") as door:
        for n in range(8):
            told = await door.ops("POST", "/admin/keys", document={"owner": f"Team {n}"})
            assert told.status == 201
        minted = told.json()
        assert minted["owner"] == "Team 7"
        assert (await door.me(minted["api_key"]))["owner"] == "Team 7"
        await door.spend(minted["api_key"])
        poor = await door.ops("POST", "/admin/keys", document={"trial_tokens": 0})
        assert poor.json()["balance"]["total"] == 0
        await door.spend(poor.json()["api_key"], expected=402)
        bad: list[object] = [
            {"trial_tokens": -1},
            {"trial_tokens": "9"},
            {"owner": 5},
            {"name": "x"},
            [],
        ]
        for body in bad:
            told = await door.ops("POST", "/admin/keys", document=body)
            assert told.status == 400


async def test_a_suspended_key_is_let_in_nowhere_until_it_is_active(open_door: Open) -> None:
    async with open_door() as here, open_door() as there:
        minted = await here.mint()
        path = f"/admin/keys/{minted['key_id']}/status"
        for door in (here, there):
            await door.spend(minted["api_key"])
        told = await here.ops("PUT", path, document={"status": "suspended"})
        assert told.json()["status"] == "suspended"
        for door in (there, here):
            await door.spend(minted["api_key"], expected=402)
        await here.ops("PUT", path, document={"status": "active"})
        for door in (there, here):
            await door.spend(minted["api_key"])


async def test_unknown_paths_methods_and_bodies_are_told_in_json(door: Door) -> None:
    told = await door.ops("GET", "/admin/nothing/%ff%0d%0a")
    assert told.status == 404
    assert "/admin/nothing/%ff%0d%0a" in told.json()["detail"]
    told = await door.ops("DELETE", f"/admin/keys/{NOBODY}/credit")
    assert (told.status, told["allow"]) == (405, "POST")
    told = await door.ops("POST", f"/admin/keys/{NOBODY}/credit", body=b"{nonsense")
    assert told.status == 400
    assert "cannot be read" in told.json()["detail"]
    told = await door.ops("POST", f"/admin/keys/{NOBODY}/credit", body=b" " * 70_000)
    assert told.status == 413
    assert (await door.ops("GET", "/admin/\udcff\udcfe")).status in (400, 404)


async def test_token_is_compared_as_digests_of_one_length_in_constant_time(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def spy(given: bytes, right: bytes) -> bool:
        compared.append((len(given), len(right)))
        return honest(given, right)

    honest = hmac.compare_digest
    monkeypatch.setattr("gateway.control.ops.hmac.compare_digest", spy)
    for token in ("x", TOKEN[:-1], TOKEN, "y" * 5_000):
        await door.ops("GET", "/admin/keys?query=zzzz", token=token)
    assert compared == [(32, 32)] * 4
