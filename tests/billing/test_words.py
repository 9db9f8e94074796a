"""Pure rules: packs from TOML, what a payment must agree in, which addresses may be called."""

from pathlib import Path

import pytest

from gateway.billing.guard import is_allowed, is_public
from gateway.billing.notify import AddressRefused, PublicResolver, refuse_private
from gateway.billing.orders import Order
from gateway.billing.pack_file import load_packs
from gateway.billing.packs import read_packs
from gateway.billing.seen import IntentSeen, SessionSeen, Sight, mismatch
from gateway.errors import ConfigurationFault

ORDER = Order(
    "o-1", 1, "checkout", "p", 10, "usd", 500, False, {}, "awaiting", 1, "cs_1", None, None, None,
    None, None, {}, None, 0, 0, False, False, "", 0, "", 1, 2,
)  # fmt: skip


def _sight(**more: object) -> Sight:
    """A payment as it should be, but for what is named."""
    words: dict[str, object] = {
        "livemode": False,
        "order": "o-1",
        "currency": "usd",
        "subtotal": 500,
        "discount": 0,
        "tax": 0,
        "total": 500,
        "received": 500,
        **more,
    }
    w: dict[str, int] = {k: v for k, v in words.items() if isinstance(v, int)}
    live, name, currency = bool(words["livemode"]), str(words["order"]), str(words["currency"])
    session = SessionSeen(
        "cs_1", None, "complete", "paid", name, live, currency, w["subtotal"], w["discount"],
        w["tax"], w["total"], "pi_1", None, None,
    )  # fmt: skip
    intent = IntentSeen(
        "pi_1", "succeeded", name, live, currency, w["total"], w["received"], None, None, ""
    )
    return Sight(session, intent)


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"discount": 100, "total": 400, "received": 400},
        {"tax": 95, "total": 595, "received": 595},
        {"tax": 80, "total": 500},
        {"discount": 500, "total": 0, "received": 0},
    ],
)
def test_discounts_and_tax_agree_with_the_order(good: dict[str, object]) -> None:
    assert mismatch(ORDER, _sight(**good)) == ""


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"livemode": True}, "livemode"),
        ({"order": "o-2"}, "another order"),
        ({"currency": "eur"}, "currency"),
        ({"subtotal": 499, "total": 499, "received": 499}, "price"),
        ({"total": 1, "received": 1}, "total"),
        ({"received": 499}, "received"),
        ({"tax": -1}, "negative"),
    ],
)
def test_what_differs_from_the_order_is_named(bad: dict[str, object], why: str) -> None:
    assert why in mismatch(ORDER, _sight(**bad))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "at least one"),
        ("x = ", "no TOML"),
        ("color = 1\n[packs.a]\ntokens = 1\nusd = 50", "color is not known"),
        ("tax = 'none'\n[packs.a]\ntokens = 1\nusd = 50", "tax must be"),
        ("[packs.A]\ntokens = 1\nusd = 50", "a name has"),
        ("[packs.a]\nusd = 50", "tokens must be"),
        ("[packs.a]\ntokens = 0\nusd = 50", "tokens must be"),
        ("[packs.a]\ntokens = true\nusd = 50", "tokens must be"),
        ("[packs.a]\ntokens = 1", "has no price"),
        ("[packs.a]\ntokens = 1\nUSD = 50", "no currency"),
        ("[packs.a]\ntokens = 1\nusd = 49", "minor units"),
        ("[packs.a]\ntokens = 1\nusd = 5.0", "minor units"),
        ("[packs.a]\nname = ''\ntokens = 1\nusd = 50", "name must be"),
        ("packs = 3", "at least one"),
        ("[packs]\na = 3", "must be a table"),
    ],
)
def test_mistakes_in_packs_are_named(text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationFault, match=complaint):
        read_packs(text)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "100.64.0.1", "::1",
     "fe80::1%eth0", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "224.0.0.1",
     "255.255.255.255", "::", "nonsense", "1"],
)  # fmt: skip
def test_private_addresses_are_not_public_however_they_are_written(address: str) -> None:
    assert not is_public(address)


def test_public_addresses_are_public() -> None:
    assert all(map(is_public, ("1.1.1.1", "93.184.216.34", "2606:4700:4700::1111")))


@pytest.mark.parametrize(
    "url",
    ["http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
     "http://localhost:80/", "http://a.localhost/", "http://[::1]/", "ftp://a.example/",
     "http://a:b@a.example/", "http://", "http://127。0。0。1/", "http://127．0．0．1:80/",
     "http://１２７.0.0.1/", "http://169。254。169。254/", "http://127%2e0%2e0%2e1/",
     "http://ⓛocalhost/"],
)  # fmt: skip
def test_addresses_that_lead_inside_are_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(AddressRefused):
        refuse_private(url)


def test_an_operator_lets_an_origin_through_and_not_what_looks_like_it() -> None:
    allowed = ("http://127.0.0.1", "https://hooks.example:8443")
    assert is_allowed("http://127.0.0.1:9000/x", allowed)
    assert is_allowed("https://hooks.example:8443/", allowed)
    assert not is_allowed("https://hooks.example/", allowed)
    assert not is_allowed("http://127.0.0.1.example/", allowed)


async def test_a_name_that_stands_for_a_private_address_is_not_resolved() -> None:
    with pytest.raises(AddressRefused):
        await PublicResolver().resolve("localhost", 80)


def test_a_file_of_ones_own_replaces_the_packs(tmp_path: Path) -> None:
    path = tmp_path / "packs.toml"
    path.write_text("tax = 'inclusive'\n[packs.one]\ntokens = 5\ngbp = 99\n")
    packs = load_packs(path)
    assert (list(packs.packs), packs.tax, packs.currencies) == (["one"], "inclusive", ("gbp",))
    path.write_text("[packs.one]\n")
    with pytest.raises(ConfigurationFault, match=r"SLUICE_PACKS: packs\.one"):
        load_packs(path)
