"""The name of a thing to be done once, as it is kept."""

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.edge.repeat_name import repeat_name
from gateway.keys.format import RANDOM_BYTES, make_key

KEY = make_key(bytes(range(RANDOM_BYTES)), "acme_")


def _named(text: str) -> str:
    name = repeat_name(CIMultiDictProxy(CIMultiDict({"idempotency-key": text})))
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "order-1 {}", "{}{}"])
def test_a_key_that_is_used_as_a_name_is_not_kept(form: str) -> None:
    text = form.format(KEY, KEY)
    for each in (text, text[:45], text[:-1] + "!"):
        name = _named(each)
        assert name.startswith("sha256:")
        assert KEY[5:20] not in name
        assert name == _named(each) != _named(each + "x")


@pytest.mark.parametrize(
    "text", ["a", "order-1", "0192f7c8-5e1f-7cc0-8d8e-2f3d5c6b7a89", "k_" + "x" * 29, "x" * 255]
)
def test_any_other_name_is_kept_as_it_is(text: str) -> None:
    assert _named(text) == text
