"""The queue between requests and lanes: forms batches of like length, every request in its turn.

Every other turn goes to the request with the least left to do, the ones between go round. So it
refuses to let a small request wait behind many huge ones, and a huge one behind many small ones;
and it refuses to pad a piece by more than a third and a few tokens.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from services.models.tokens import Ids
from services.models.windows import Span

# Where throughput stops growing on one core (MiniLM, 8,800 tokens a second); larger batches fall
# out of the cache, and everyone waits longer for their turn.
BATCH_TOKENS: Final = 512
# A piece rides along with a longer one if it is at least this share of it, give or take a few.
LIKE_SHARE: Final = 0.75
LIKE_TOKENS: Final = 4
# Others that are looked at for one batch: enough to fill it, and bounded.
OTHERS_LOOKED_AT: Final = 128


class Piece:
    """One sequence to run, specials included. With `spans` its tokens are pooled by them."""

    __slots__ = ("at", "ids", "job", "spans")

    def __init__(self, job: "Job", at: int, ids: Ids, spans: Sequence[Span] = ()) -> None:
        self.job = job
        self.at = at
        self.ids = ids
        self.spans = spans


class Job:
    """The pieces of one request that wait, longest last."""

    __slots__ = ("by_spans", "waiting")

    def __init__(self, by_spans: bool) -> None:
        self.by_spans = by_spans
        self.waiting: list[Piece] = []

    def fill(self, pieces: Sequence[Piece]) -> None:
        self.waiting = sorted(pieces, key=lambda piece: len(piece.ids))


class Queue:
    """Jobs in turn."""

    def __init__(self, batch_tokens: int = BATCH_TOKENS) -> None:
        self._batch_tokens = batch_tokens
        self._jobs: deque[Job] = deque()
        self._least_next = False

    def add(self, job: Job) -> None:
        if job.waiting:
            self._jobs.append(job)

    def drop(self, job: Job) -> None:
        """Forgets what still waits of a job; nothing happens if it is gone."""
        job.waiting = []

    def take(self) -> list[Piece]:
        """The next batch; empty when nothing waits."""
        leader = self._next()
        if leader is None:
            return []
        first = leader.waiting.pop()
        room = max(1, self._batch_tokens // len(first.ids)) - 1
        least = len(first.ids) * LIKE_SHARE - LIKE_TOKENS
        batch = [first]
        for job in [leader, *self._others(leader)]:
            while room and job.waiting and least <= len(job.waiting[-1].ids) <= len(first.ids):
                batch.append(job.waiting.pop())
                room -= 1
        return batch

    def _next(self) -> Job | None:
        """The job whose turn it is; it goes to the end of the line."""
        self._least_next = not self._least_next
        if self._least_next:
            waiting = [job for job in self._jobs if job.waiting]
            return min(waiting, key=lambda job: len(job.waiting), default=None)
        while self._jobs:
            job = self._jobs.popleft()
            if job.waiting:
                self._jobs.append(job)
                return job
        return None

    def _others(self, leader: Job) -> list[Job]:
        looked_at = [self._jobs[at] for at in range(min(len(self._jobs), OTHERS_LOOKED_AT))]
        return [job for job in looked_at if job.by_spans is leader.by_spans and job is not leader]
