"""The knee is found by steps, on curves that are known."""

import pytest

from ops.bench.speed_knee import BOUND_US, LEAST_ANSWERED, Step, find_knee


class Curve:
    """A server that answers in time up to `most_per_s`; the stalls come one after another."""

    def __init__(self, most_per_s: float, stalls: int = 0) -> None:
        self.most_per_s = most_per_s
        self.stalls = stalls

    async def attempt(self, per_s: float) -> Step:
        if self.stalls:
            self.stalls -= 1
            return Step(per_s, per_s, BOUND_US * 2, 0)
        in_time = per_s <= self.most_per_s
        return Step(per_s, min(per_s, self.most_per_s), 60_000 if in_time else BOUND_US * 2, 0)


@pytest.mark.parametrize("most", [300, 1_000, 3_333, 20_000])
async def test_the_knee_is_below_the_true_one_by_less_than_an_eighth(most: int) -> None:
    knee, steps = await find_knee(Curve(most).attempt)
    assert most * 7 / 8 - 1 <= knee <= most
    assert any(step.good and step.offered_per_s == knee for step in steps)


async def test_what_does_not_bear_the_first_rate_has_no_knee() -> None:
    knee, steps = await find_knee(Curve(10).attempt)
    assert knee == 0
    assert len(steps) == 2


async def test_a_single_stall_is_no_knee() -> None:
    assert await find_knee(Curve(1_000, stalls=1).attempt) == await _without_the_stall(1_000)


async def _without_the_stall(most: float) -> tuple[float, list[Step]]:
    knee, steps = await find_knee(Curve(most).attempt)
    first = steps[0].offered_per_s
    return knee, [Step(first, first, BOUND_US * 2, 0), *steps]


def test_a_rate_is_good_only_if_all_of_it_is_answered_in_time_without_a_failure() -> None:
    assert Step(100, 100, BOUND_US, 0).good
    assert not Step(100, 100, BOUND_US + 1, 0).good
    assert not Step(100, 100, BOUND_US, 1).good
    assert not Step(100, 100 * LEAST_ANSWERED - 1, BOUND_US, 0).good
