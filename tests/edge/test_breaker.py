"""When a service is left alone, as a rule: what opens, what does not, how it closes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.breaker import HALF_WINDOW_S, Breaker, State

SEEN = st.lists(
    st.tuples(
        st.sampled_from(("good", "bad", "unreached", "ask", "turn")),
        st.sampled_from(("k:1", "k:2", "a:3")),
        st.floats(0, 3),
    ),
    max_size=150,
)


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.unreached(now_s)
    assert breaker.is_open
    return breaker


def test_five_connections_in_a_row_that_cannot_be_made_open_it() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(4):
            breaker.unreached(0.0)
        assert breaker.wait_ms(0.0) == 0
        breaker.succeeded()
    for _ in range(5):
        breaker.unreached(0.0)
    assert breaker.wait_ms(0.0) > 0


def test_one_client_alone_never_closes_a_service_to_all() -> None:
    breaker = Breaker()
    for _ in range(1_000):
        breaker.failed(0.0, "k:1")
    assert not breaker.is_open
    breaker.failed(0.0, "k:2")
    assert breaker.is_open


def test_fewer_failures_than_answers_do_not_open_it() -> None:
    breaker = Breaker()
    for number in range(1_000):
        breaker.succeeded()
        breaker.succeeded()
        breaker.failed(0.0, f"k:{number % 7}")
    assert not breaker.is_open


def test_what_is_old_is_forgotten() -> None:
    breaker = Breaker()
    for number in range(9):
        breaker.failed(1.0, f"k:{number}")
    for turn in range(1, 4):
        breaker.turn(1.0 + turn * (HALF_WINDOW_S + 0.1))
    for number in range(9):
        breaker.failed(20.0, f"k:{number}")
    assert not breaker.is_open
    breaker.failed(20.0, "k:10")
    assert breaker.is_open


def test_while_open_one_request_tries_per_pause_and_pauses_grow_to_four_seconds() -> None:
    breaker, now_s, trials = opened(), 0.0, []
    while now_s < 60:
        if breaker.wait_ms(now_s) == 0:
            trials.append(now_s)
            assert breaker.wait_ms(now_s) > 0
            breaker.unreached(now_s)
        now_s += 0.01
    gaps = [late - early for early, late in pairwise(trials)]
    assert gaps == sorted(gaps) or max(gaps) - min(gaps[4:]) < 0.1
    assert gaps[0] < 1.1
    assert 3.9 < max(gaps) < 4.1
    # Whoever comes once a second is let through within 10 s of the end of any fault.
    assert max(gaps) + 1 < 10


def test_a_trial_that_was_not_let_in_is_given_to_the_next() -> None:
    breaker = opened()
    breaker.untried(0.1)
    assert breaker.wait_ms(0.1) == 0
    for _ in range(10):
        assert breaker.wait_ms(0.1) > 0
        breaker.untried(0.1)
        assert breaker.wait_ms(0.1) == 0
    assert 0 < breaker.wait_ms(0.1) <= 1_001
    closed = Breaker()
    closed.untried(1.0)
    assert closed.wait_ms(1.0) == 0


def test_the_first_answer_closes_it_and_nothing_of_before_counts() -> None:
    breaker = opened()
    assert breaker.state(0.0) is State.OPEN
    assert breaker.state(10.0) is State.TRYING
    assert breaker.wait_ms(10.0) == 0
    breaker.succeeded()
    assert breaker.state(10.0) is State.CLOSED
    for number in range(4):
        breaker.unreached(10.0)
        breaker.failed(10.0, f"k:{number}")
    assert breaker.wait_ms(10.0) == 0


@given(SEEN)
def test_however_it_goes_nobody_waits_longer_than_the_pause(
    seen: list[tuple[str, str, float]],
) -> None:
    breaker, now_s = Breaker(), 0.0
    for what, subject, later_s in seen:
        now_s += later_s
        if what == "good":
            breaker.succeeded()
            assert not breaker.is_open
        elif what == "bad":
            breaker.failed(now_s, subject)
        elif what == "unreached":
            breaker.unreached(now_s)
        elif what == "turn":
            breaker.turn(now_s)
        wait_ms = breaker.wait_ms(now_s)
        assert 0 <= wait_ms <= 4_001
        if wait_ms:
            assert breaker.wait_ms(now_s + wait_ms / 1_000) == 0
            now_s += wait_ms / 1_000
        state = breaker.state(now_s)
        assert (state is State.CLOSED) == (not breaker.is_open)
