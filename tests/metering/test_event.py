"""Outcomes and numbers on their way: nothing changes in between, no number is forgotten."""

import sys
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.metering.event import CHARGE, FIELDS, VOID, Event, decode, voided
from gateway.metering.numbers import AdmissionNumbers

WHOLE = st.integers(0, 2**53 - 1)
WORD = st.text(max_size=30)
EVENTS = st.builds(
    Event,
    st.uuids(version=4).map(str),
    st.sampled_from([CHARGE, VOID]),
    st.none() | st.integers(1, 2**63 - 1),
    WORD,
    WHOLE,
    st.none() | WHOLE,
    WHOLE,
    WORD,
    WORD,
    st.integers(100, 599),
    WHOLE,
    WHOLE,
    WHOLE,
    WORD,
)


@given(EVENTS)
@settings(max_examples=100, deadline=None)
def test_an_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode(orjson.loads(event.encode())) == event


@given(EVENTS)
@settings(max_examples=50, deadline=None)
def test_a_voided_event_is_the_same_request_for_nothing(event: Event) -> None:
    found = decode(orjson.loads(voided(event.encode(), "gateway_failed")))
    assert (found.kind, found.cost_tokens, found.rule) == (VOID, 0, "none")
    assert (found.request_id, found.key_id) == (event.request_id, event.key_id)
    assert (found.admission_no, found.instance) == (event.admission_no, event.instance)


@pytest.mark.parametrize("length", [0, FIELDS - 1, FIELDS + 1])
def test_an_array_of_another_length_is_refused(length: int) -> None:
    array: list[Any] = [1] * length
    with pytest.raises(ValueError, match="an event has 14 fields"):
        decode(array)


@given(
    st.lists(st.tuples(st.sampled_from(["take", "back", "post"]), st.integers(0, 50))),
    st.sampled_from([1, 3, 4_096]),
)
@settings(max_examples=200, deadline=None)
def test_every_number_below_the_mark_is_posted_or_named_as_unused(
    steps: list[tuple[str, int]], trim_at: int
) -> None:
    """In any order of taking, giving back and posting; no number is out twice at a time."""
    numbers, out, posted = AdmissionNumbers(trim_at=trim_at), list[int](), set[int]()
    for what, which in steps:
        if what == "take" or not out:
            number = numbers.take()
            assert number not in out
            assert number not in posted
            out.append(number)
            continue
        number = out.pop(which % len(out))
        if what == "back":
            numbers.give_back(number)
        else:
            numbers.posted(number)
            posted.add(number)
        state = numbers.completeness()
        below = set(range(1, state.complete_below))
        assert below == {n for n in posted if n in below} | set(state.unused)
        assert posted.isdisjoint(state.unused)
        assert all(numbers.is_posted(n) for n in posted)
        assert not any(numbers.is_posted(n) for n in out)


def test_a_million_numbers_that_wait_for_the_ledger_take_a_megabyte() -> None:
    """An hour without PostgreSQL: the outcomes are on the disk, their numbers here."""
    numbers = AdmissionNumbers()
    for _ in range(1_000_000):
        numbers.take()
    assert numbers.completeness().complete_below == 1
    assert sys.getsizeof(numbers._marks) < 1_200_000
    for number in range(1, 1_000_001):
        numbers.posted(number)
    assert numbers.completeness().complete_below == 1_000_001
    assert sys.getsizeof(numbers._marks) < 10_000
