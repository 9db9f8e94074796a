"""The pure log against a plain sorted log: the promise itself, for any traffic and any clock."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admission.window import Window
from gateway.units import US_PER_MS, WINDOW_US
from tests.admission.asking import START_US

BUCKETS = [1, 60, 240]
# Steps that matter: within an entry, about an entry, up to and over the window; to the microsecond.
STEPS_US = st.one_of(
    st.integers(0, 1_000_000),
    st.integers(0, 2 * WINDOW_US),
    st.sampled_from([0, 1, 249_999, 250_000, WINDOW_US - 1, WINDOW_US, WINDOW_US + 1]),
)
EVENTS = st.lists(
    st.tuples(
        STEPS_US,
        st.integers(0, 60),
        # How far the clock steps back before this event, and which admission is corrected to what.
        st.sampled_from([0, 0, 0, 0, 1, 300_000, 5_000_000, 3_600_000_000]),
        st.one_of(st.none(), st.tuples(st.integers(0, 50), st.integers(0, 60))),
    ),
    max_size=60,
)


@dataclass
class PlainLog:
    """The reference: every admission by itself, at the true time."""

    admitted: list[list[int]] = field(default_factory=list)

    def used(self, since_us: int) -> int:
        return sum(cost for at_us, cost in self.admitted if at_us > since_us)

    def worst(self) -> int:
        """The largest sum in any half-open 60 s; one of the worst windows ends at an event."""
        return max(
            (
                sum(cost for at_us, cost in self.admitted if end - WINDOW_US < at_us <= end)
                for end, _ in self.admitted
            ),
            default=0,
        )


@pytest.mark.parametrize("buckets", BUCKETS)
@given(events=EVENTS, limit=st.integers(1, 100))
@settings(max_examples=150, deadline=None)
def test_never_more_than_the_limit_in_any_window(
    buckets: int, events: list[tuple[int, int, int, tuple[int, int] | None]], limit: int
) -> None:
    """Weighted costs, refunds, and a clock that steps back; costs count as they are in the end."""
    window, log = Window(WINDOW_US // buckets), PlainLog()
    true_us, skew_us = START_US, 0
    places: list[int] = []
    for step_us, wanted, back_us, correction in events:
        true_us += step_us
        skew_us -= back_us
        if correction is not None and places:
            which = correction[0] % len(places)
            less = min(correction[1], log.admitted[which][1])
            window.amend(places[which], less - log.admitted[which][1])
            log.admitted[which][1] = less
        view = window.look(true_us + skew_us)
        cost = min(wanted, limit)
        if window.wait_us(view, cost, limit) == 0:
            places.append(window.record(view, cost))
            log.admitted.append([true_us, cost])
    assert log.worst() <= limit


@pytest.mark.parametrize("buckets", BUCKETS)
@given(events=EVENTS, limit=st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_refuses_only_what_a_slightly_longer_window_refuses(
    buckets: int, events: list[tuple[int, int, int, tuple[int, int] | None]], limit: int
) -> None:
    """The price of sharing entries: an admission counts for less than d longer than 60 s."""
    span_us = WINDOW_US // buckets
    window, log, now_us = Window(span_us), PlainLog(), START_US
    for step_us, wanted, _, _ in events:
        now_us += step_us
        view = window.look(now_us)
        cost = min(wanted, limit)
        if window.wait_us(view, cost, limit) == 0:
            assert log.used(now_us - WINDOW_US) + cost <= limit
            window.record(view, cost)
            log.admitted.append([now_us, cost])
        else:
            assert log.used(now_us - WINDOW_US - span_us) + cost > limit


@pytest.mark.parametrize("buckets", BUCKETS)
@given(events=EVENTS, limit=st.integers(1, 100))
@settings(max_examples=150, deadline=None)
def test_waiting_is_exact_to_the_millisecond(
    buckets: int, events: list[tuple[int, int, int, tuple[int, int] | None]], limit: int
) -> None:
    """Also right after the clock stepped back: the wait is what the client has to wait."""
    window, true_us, skew_us = Window(WINDOW_US // buckets), START_US, 0
    for step_us, wanted, back_us, _ in events:
        true_us += step_us
        skew_us -= back_us
        cost = min(wanted, limit)
        wait_us = window.wait_us(window.look(true_us + skew_us), cost, limit)
        if wait_us > 0:
            wait_ms = -(-wait_us // US_PER_MS)
            early = window.look(true_us + skew_us + (wait_ms - 1) * US_PER_MS)
            assert window.wait_us(early, cost, limit) > 0
            true_us += wait_ms * US_PER_MS
        view = window.look(true_us + skew_us)
        assert window.wait_us(view, cost, limit) == 0
        window.record(view, cost)


def test_an_event_exactly_sixty_seconds_old_no_longer_counts() -> None:
    window = Window(250_000)
    window.record(window.look(START_US), 5)
    assert window.wait_us(window.look(START_US + WINDOW_US - 1), 1, 5) == 1
    assert window.wait_us(window.look(START_US + WINDOW_US), 1, 5) == 0


def test_entry_numbers_are_not_reused_after_an_idle_window() -> None:
    """A hold may live longer than the entry it names; its refund must not hit another."""
    window = Window(250_000)
    first = window.record(window.look(START_US), 5)
    later_us = START_US + 10 * WINDOW_US
    second = window.record(window.look(later_us), 7)
    window.amend(first, -5)
    assert second > first
    assert window.look(later_us).total == 7


@pytest.mark.parametrize(
    ("gap_us", "most_lost"), [(1_000, 0.008), (20_000, 0.008), (300_000, 0.0), (5_000_000, 0.0)]
)
def test_loss_of_capacity_is_under_one_percent_at_240(gap_us: int, most_lost: float) -> None:
    """A steady client that asks more than it may, for ten minutes, against the exact log."""
    limit, window = 500, Window(WINDOW_US // 240)
    exact: list[int] = []
    ours = true = oldest = 0
    for now_us in range(START_US, START_US + 10 * WINDOW_US, gap_us):
        view = window.look(now_us)
        if window.wait_us(view, 1, limit) == 0:
            window.record(view, 1)
            ours += 1
        while oldest < len(exact) and exact[oldest] <= now_us - WINDOW_US:
            oldest += 1
        if len(exact) - oldest < limit:
            exact.append(now_us)
            true += 1
    assert ours >= true * (1 - most_lost)
