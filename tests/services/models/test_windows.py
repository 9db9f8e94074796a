"""Windows: every token once, none of them nearly empty, the middle of each preferred."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.models.windows import cuts, normalised, overlapping, pooled


@given(st.integers(0, 10_000), st.integers(1, 600))
def test_cuts_cover_every_token_once_in_parts_of_like_length(tokens: int, window: int) -> None:
    found = cuts(tokens, window)
    assert found[0][0] == 0
    assert found[-1][1] == tokens
    assert all(end == begin for (_, end), (begin, _) in pairwise(found))
    lengths = [end - begin for begin, end in found]
    assert max(lengths) <= window
    assert max(lengths) - min(lengths) <= 1


@given(st.integers(0, 10_000), st.integers(2, 600))
def test_overlapping_windows_give_every_token_once(tokens: int, window: int) -> None:
    found = overlapping(tokens, window)
    taken = [token for _, _, first, last in found for token in range(first, last)]
    assert taken == list(range(tokens))
    for begin, end, first, last in found:
        assert 0 <= begin <= first <= last <= end <= max(tokens, begin)
        assert end - begin <= window


def test_overlapping_windows_take_no_token_near_an_inner_edge() -> None:
    found = overlapping(2_000, 254)
    for begin, end, first, last in found:
        assert begin == 0 or first - begin >= 254 // 8
        assert end == 2_000 or end - last >= 254 // 8


def test_pooled_is_the_mean_weighted_by_tokens() -> None:
    vectors = np.array([[1, 0], [0, 1], [3, 3]], np.float32)
    found = pooled(vectors, [0, 0, 2], [3, 1, 5], 3)
    assert found.tolist() == [[0.75, 0.25], [0, 0], [3, 3]]


def test_normalised_rows_have_length_one_and_zeros_stay() -> None:
    found = normalised(np.array([[3, 4], [0, 0]], np.float32))
    assert found[0].tolist() == pytest.approx([0.6, 0.8])
    assert found[1].tolist() == [0, 0]
