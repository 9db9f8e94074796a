"""The queue: batches of like length, every request in its turn, nothing lost or run in vain."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.models.batches import BATCH_TOKENS, Job, Piece, Queue


def job_of(lengths: list[int], by_spans: bool = False) -> Job:
    job = Job(by_spans)
    job.fill([Piece(job, at, np.zeros(n, np.int64)) for at, n in enumerate(lengths)])
    return job


def drained(queue: Queue) -> list[list[Piece]]:
    batches = []
    while batch := queue.take():
        batches.append(batch)
    return batches


@given(st.lists(st.lists(st.integers(2, 256), max_size=30), max_size=8))
def test_every_piece_is_run_once_in_batches_within_bounds(jobs: list[list[int]]) -> None:
    queue = Queue()
    for lengths in jobs:
        queue.add(job_of(lengths))
    batches = drained(queue)
    assert sum(map(len, batches)) == sum(map(len, jobs))
    assert len({(id(p.job), p.at) for batch in batches for p in batch}) == sum(map(len, jobs))
    for batch in batches:
        longest = max(len(piece.ids) for piece in batch)
        assert longest * len(batch) <= max(BATCH_TOKENS, longest)
        assert all(len(piece.ids) >= 0.75 * longest - 4 for piece in batch)


def test_small_request_waits_for_one_batch_of_a_huge_one() -> None:
    queue = Queue()
    huge = job_of([250] * 1_000)
    queue.add(huge)
    queue.take()
    small = job_of([8])
    queue.add(small)
    waited = [[piece.job for piece in queue.take()] for _ in range(2)]
    assert any(small in jobs for jobs in waited)


def test_like_pieces_of_several_requests_share_a_batch() -> None:
    queue = Queue()
    for length in (10, 9, 11, 10):
        queue.add(job_of([length]))
    batch = queue.take()
    assert len(batch) >= 3
    assert len({id(piece.job) for piece in batch}) == len(batch)


def test_pieces_of_unlike_length_do_not_share() -> None:
    queue = Queue()
    queue.add(job_of([200]))
    queue.add(job_of([5]))
    assert [len(batch) for batch in drained(queue)] == [1, 1]


def test_pieces_pooled_in_different_ways_do_not_share() -> None:
    queue = Queue()
    queue.add(job_of([10], by_spans=True))
    queue.add(job_of([10]))
    assert [len(batch) for batch in drained(queue)] == [1, 1]


def test_dropped_job_is_never_run() -> None:
    queue = Queue()
    dropped, kept = job_of([10] * 100), job_of([10])
    queue.add(dropped)
    queue.add(kept)
    queue.drop(dropped)
    assert [[piece.job for piece in batch] for batch in drained(queue)] == [[kept]]


def test_small_request_waits_for_one_batch_though_many_huge_ones_came_before() -> None:
    queue = Queue()
    for _ in range(50):
        queue.add(job_of([250] * 100))
    queue.take()
    small = job_of([8])
    queue.add(small)
    waited = [[piece.job for piece in queue.take()] for _ in range(2)]
    assert any(small in jobs for jobs in waited)


def test_huge_request_goes_on_though_small_ones_never_end() -> None:
    queue = Queue()
    huge = job_of([250] * 20)
    queue.add(huge)
    for _ in range(40):
        queue.add(job_of([8, 100]))
        queue.take()
    assert huge.waiting == []
