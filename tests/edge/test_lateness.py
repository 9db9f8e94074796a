"""From how late the loop is to what is shed: one hiccup is none, steps down are slow, all ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.overload import LEVELS_MS, Lateness, Overload, Rank

LATE_S = st.floats(0, 3)
SMALL_S = st.floats(0, 0.09)
EVERY_S = 0.05


def play(lateness: Lateness, samples: list[float], now_s: float = 0.0) -> tuple[float, list[int]]:
    """The samples one after another as the timer takes them; when, and the levels."""
    levels = []
    for late_s in samples:
        now_s += EVERY_S + late_s
        levels.append(lateness.sample(now_s, late_s))
    return now_s, levels


@given(st.lists(SMALL_S, max_size=40), LATE_S, st.lists(SMALL_S, max_size=40))
def test_one_hiccup_however_long_sheds_nobody(
    before: list[float], hiccup: float, after: list[float]
) -> None:
    lateness = Lateness()
    _, levels = play(lateness, [*before, hiccup, *after])
    assert max(levels) == 0


@pytest.mark.parametrize(("late_ms", "level"), [(99, 0), (101, 1), (201, 2), (401, 3), (1_001, 4)])
def test_two_in_a_row_are_enough_for_their_level(late_ms: int, level: int) -> None:
    _, levels = play(Lateness(), [late_ms / 1_000] * 2)
    assert levels == [0, level]


@pytest.mark.parametrize("late_s", [2.0, 30.0])
def test_a_loop_later_than_the_window_is_seen_as_well(late_s: float) -> None:
    _, levels = play(Lateness(), [late_s] * 3)
    assert levels[-1] == len(LEVELS_MS)


@given(st.lists(LATE_S, max_size=80))
def test_whatever_was_all_is_open_again_within_six_seconds_of_the_last_trouble(
    samples: list[float],
) -> None:
    lateness = Lateness()
    end_s, _ = play(lateness, samples)
    now_s = end_s
    while now_s < end_s + 6:
        now_s, (level,) = play(lateness, [0.0], now_s)
    assert level == 0


@given(st.lists(LATE_S, max_size=80))
def test_it_rises_at_once_and_falls_one_step_a_second(samples: list[float]) -> None:
    lateness, now_s, fell_s, before = Lateness(), 0.0, -9.0, 0
    for late_s in samples:
        now_s, (level,) = play(lateness, [late_s], now_s)
        assert 0 <= level <= len(LEVELS_MS)
        assert level >= before - 1
        if level < before:
            assert now_s - fell_s >= 1.0
            fell_s = now_s
        before = level


def test_at_the_edge_of_a_level_it_does_not_flap() -> None:
    lateness = Lateness()
    _, levels = play(lateness, [0.11, 0.09] * 50)
    first = levels.index(1)
    assert set(levels[first:]) == {1}


def test_ranks_are_shed_in_their_order_and_premium_last() -> None:
    overload = Overload()
    shed = []
    for level in range(len(LEVELS_MS) + 1):
        overload.level = level
        shed.append([rank.name for rank in Rank if overload.sheds(rank)])
    assert shed == [
        [],
        ["FREE"],
        ["FREE", "NO_KEY"],
        ["FREE", "NO_KEY", "KEY"],
        ["FREE", "NO_KEY", "KEY", "PREMIUM"],
    ]
    assert not Overload().trouble()
    assert "premium" in overload.trouble()


def test_who_is_premium_is_what_the_last_decision_said_and_the_map_is_bounded() -> None:
    overload = Overload()
    overload.decided("k:1", "premium")
    assert overload.is_premium("k:1")
    overload.decided("k:1", "key")
    assert not overload.is_premium("k:1")
    for number in range(60_000):
        overload.decided(f"k:{number}", "premium")
    assert len(overload._premiums) == 50_000
    assert overload.is_premium("k:59999")
    assert not overload.is_premium("k:0")
