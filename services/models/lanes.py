"""Runs the batches of a queue in threads, and hands every request its own vectors.

It refuses to run what nobody waits for any more: a cancelled request leaves the queue at once, and
only the batch that already runs is finished.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar, TypeVarTuple

import numpy as np

from services.models.batches import Job, Piece, Queue
from services.models.windows import Floats

# Gives, for every piece, the vectors of its spans, or its one pooled vector as a single row.
Compute = Callable[[Sequence[Piece]], list[Floats]]

Given = TypeVarTuple("Given")
Result = TypeVar("Result")


async def in_thread(
    threads: Executor, work: Callable[[*Given], Result], *arguments: *Given
) -> Result:
    """What `work` gives, from a thread of the pool."""
    return await asyncio.get_running_loop().run_in_executor(threads, work, *arguments)


class Run(Job):
    """A job with somebody waiting for it."""

    __slots__ = ("done", "left", "vectors")

    def __init__(self, by_spans: bool) -> None:
        super().__init__(by_spans)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.vectors: list[Floats] = []
        self.left = 0


class Lanes:
    """One model's queue, worked off by at most `lanes` threads of a shared pool."""

    def __init__(self, compute: Compute, threads: Executor, lanes: int) -> None:
        self._compute = compute
        self._threads = threads
        self._idle = lanes
        self._queue = Queue()

    async def run(
        self, make: Callable[[Job], list[Piece]], by_spans: bool, aside: Executor | None
    ) -> Floats:
        """Vectors of the pieces that `make` gives for the job, in the order of their `at`.

        What takes time in proportion to the pieces is done in `aside`, if that is given.
        """
        run = Run(by_spans)
        if aside is None:
            run.fill(make(run))
        else:
            run.fill(await in_thread(aside, make, run))
        run.left = len(run.waiting)
        run.vectors = [np.empty((0, 0), np.float32)] * run.left
        self._queue.add(run)
        self._start()
        try:
            await run.done
        finally:
            self._queue.drop(run)
        if aside is None:
            return np.concatenate(run.vectors)
        return await in_thread(aside, np.concatenate, run.vectors)

    def _start(self) -> None:
        """Gives every idle lane a batch."""
        loop = asyncio.get_running_loop()
        while self._idle:
            batch = self._queue.take()
            if not batch:
                return
            self._idle -= 1
            running = loop.run_in_executor(self._threads, self._compute, batch)
            running.add_done_callback(partial(self._ended, batch))

    def _ended(self, batch: Sequence[Piece], ended: "asyncio.Future[list[Floats]]") -> None:
        self._idle += 1
        fault = None if ended.cancelled() else ended.exception()
        if ended.cancelled() or fault is not None:
            self._fail(batch, fault)
        else:
            self._deliver(batch, ended.result())
        self._start()

    def _deliver(self, batch: Sequence[Piece], found: list[Floats]) -> None:
        for piece, vectors in zip(batch, found, strict=True):
            run = piece.job
            assert isinstance(run, Run)
            run.vectors[piece.at] = vectors
            run.left -= 1
            if not run.left and not run.done.done():
                run.done.set_result(None)

    def _fail(self, batch: Sequence[Piece], fault: BaseException | None) -> None:
        for piece in batch:
            run = piece.job
            assert isinstance(run, Run)
            self._queue.drop(run)
            if run.done.done():
                continue
            if fault is None:
                run.done.cancel()
            else:
                run.done.set_exception(fault)
