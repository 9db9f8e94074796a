"""The charge of a search is what the contract says, for any hits."""

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from services.search.charge import MAXIMUM_TOKENS, PRICE_TOKENS, charge

TOKENS = st.lists(st.integers(0, 300_000), min_size=1, max_size=20)
SCALERS = st.sampled_from([1, 3, 5])


@given(TOKENS, SCALERS)
def test_charge_is_the_larger_of_content_and_flat_price(tokens: list[int], scaler: int) -> None:
    flat = ceil(len(tokens) / 10) * 10_000 * scaler
    assert charge(tokens, scaler).tokens == min(max(sum(tokens), flat), MAXIMUM_TOKENS)


@given(TOKENS, SCALERS)
def test_hits_say_their_own_tokens_or_their_share_of_the_flat_price(
    tokens: list[int], scaler: int
) -> None:
    found = charge(tokens, scaler)
    assert len(found.per_hit) == len(tokens)
    if sum(tokens) > ceil(len(tokens) / 10) * PRICE_TOKENS * scaler:
        assert found.per_hit == tuple(tokens)
    else:
        assert set(found.per_hit) == {ceil(found.tokens / len(tokens))}
        assert found.tokens <= sum(found.per_hit) < found.tokens + len(tokens)


@given(TOKENS, SCALERS, st.integers(0, 300_000))
def test_one_more_hit_never_costs_less(tokens: list[int], scaler: int, more: int) -> None:
    assert charge([*tokens, more], scaler).tokens >= charge(tokens, scaler).tokens


def test_known_charges() -> None:
    assert charge([], 5).tokens == 0
    assert charge([0] * 8, 1).tokens == 10_000
    assert charge([0] * 8, 1).per_hit == (1250,) * 8
    assert charge([0] * 10, 1).tokens == 10_000
    assert charge([0] * 11, 1).tokens == 20_000
    assert charge([0], 3).tokens == 30_000
    assert charge([9_999, 2], 1).tokens == 10_001
    assert charge([200_000] * 20, 1).tokens == 2_000_000
