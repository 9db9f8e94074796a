"""What holds whatever happens: forms, and money under any sequence of deeds."""

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import _encode

from tests.stripe_standin.api_checkout import Sessions
from tests.stripe_standin.checkout import Buyer
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.form import Params, decode

_NAMES = st.text("abcdefgh_", min_size=1, max_size=6)
_LEAVES = st.text(max_size=12) | st.integers()
_TREES = st.dictionaries(
    _NAMES,
    st.recursive(
        _LEAVES,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(_NAMES, inner, min_size=1, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def _plain(value: object) -> object:
    """As a form can say it: strings, and lists by their indexes."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return {str(index): _plain(one) for index, one in enumerate(value)}
    return str(value)


@given(_TREES)
@settings(max_examples=100, deadline=None)
def test_whatever_the_library_encodes_is_read_as_it_was_meant(tree: dict[str, Any]) -> None:
    body = urlencode(list(_encode._api_encode(tree)))
    assert decode(parse_qsl(body, keep_blank_values=True)) == _plain(tree)


_DEEDS = st.lists(
    st.tuples(
        st.sampled_from(("refund", "refund_fails", "dispute", "inquiry", "won", "lost")),
        st.integers(0, 3),
        st.integers(1, 2_500),
    ),
    max_size=12,
)


@given(_DEEDS, st.integers(0, 100), st.sampled_from(("US", "DE", "JP")))
@settings(max_examples=60, deadline=None)
def test_balance_charge_refunds_and_disputes_agree_after_any_deeds(
    deeds: list[tuple[str, int, int]], percent: int, country: str
) -> None:
    desk = Desk()
    session = _session(desk, percent)
    # What is left to pay may be less than can be charged.
    with suppress(ApiError):
        desk.checkout.pay(session, Buyer("a@example.com", "Ada", country, "CODE"))
    assert (session["status"] == "complete") == (session["amount_total"] not in range(1, 50))
    for charge in desk.world.all("charge"):
        for deed, index, amount in deeds:
            try:
                _do(desk, charge, deed, index, amount)
            except ApiError:
                continue
        _agrees(desk, charge)
    collected = sum(charge["amount"] for charge in desk.world.all("charge"))
    assert collected == (session["amount_total"] if session["status"] == "complete" else 0)


def _session(desk: Desk, percent: int) -> Obj:
    off: Obj = {"percent_off": percent or None, "amount_off": None if percent else 1}
    desk.world.add({"id": "co_1", "object": "coupon", "currency": "usd", **off})
    promotion = {"id": "promo_1", "object": "promotion_code", "active": True, "code": "CODE"}
    desk.world.add({**promotion, "promotion": {"coupon": "co_1"}, "times_redeemed": 0})
    data = {"currency": "usd", "unit_amount": "999", "product_data": {"name": "Pack"}}
    tree = {
        "mode": "payment",
        "success_url": "http://shop.test",
        "allow_promotion_codes": "true",
        "automatic_tax": {"enabled": "true"},
        "line_items": {
            "0": {"price_data": data, "quantity": "2"},
            "1": {"price_data": {**data, "tax_behavior": "inclusive"}, "quantity": "1"},
        },
    }
    return Sessions(desk).create(Params(tree))


def _do(desk: Desk, charge: Obj, deed: str, index: int, amount: int) -> None:
    refunds, disputes = desk.world.all("refund"), desk.reversals.disputes_of(charge)
    if deed == "refund":
        desk.reversals.refund(charge, amount)
    elif deed == "refund_fails" and index < len(refunds):
        desk.reversals.refund_ends(refunds[index], failed=True)
    elif deed in ("dispute", "inquiry"):
        desk.reversals.open_dispute(charge, amount, inquiry=deed == "inquiry")
    elif deed in ("won", "lost") and index < len(disputes):
        desk.reversals.close_dispute(disputes[index], deed)


def _agrees(desk: Desk, charge: Obj) -> None:
    refunds = [one for one in desk.world.all("refund") if one["status"] != "failed"]
    taken = [one for one in desk.world.all("dispute") if len(one["balance_transactions"]) == 1]
    back = sum(one["amount"] for one in refunds)
    assert charge["amount_refunded"] == back <= charge["amount"]
    assert charge["refunded"] == (back == charge["amount"])
    balance = sum(one["amount"] for one in desk.world.all("balance_transaction"))
    assert balance == charge["amount"] - back - sum(one["amount"] for one in taken)


@pytest.mark.parametrize("name", ["a[b", "a[0]x", "[a]", "a[]"])
def test_a_broken_name_never_breaks_the_reader(name: str) -> None:
    assert decode([(name, "1")])
