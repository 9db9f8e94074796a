"""A few worker processes that take pages apart, each page under a time and a memory cap.

A page that kills, blocks or exhausts its worker fails alone: the worker is replaced, the other
pages go on. Workers are started in the background, so the service is ready before they are. It
refuses a page when no worker is free before the page's deadline.
"""

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from typing import Final

import orjson

from services.reader.jobs import (
    FRAME_BYTES,
    LENGTHS,
    Extracted,
    Failure,
    Job,
    frame_head,
    job_head,
    read_outcome,
)

# Replaced after so many pages, so that what the parsers leak stays small.
PAGES_PER_WORKER: Final = 2000
START_S: Final = 30.0
PIPE_BYTES: Final = 1024 * 1024
WRITE_BYTES: Final = 256 * 1024


@dataclass(slots=True, eq=False)
class _Worker:
    process: asyncio.subprocess.Process
    pages: int = 0

    async def read_frame(self) -> bytes:
        """The head of the next frame. Raises EOFError when the worker is gone."""
        assert self.process.stdout is not None
        try:
            head, body = LENGTHS.unpack(await self.process.stdout.readexactly(LENGTHS.size))
            if head + body > FRAME_BYTES:
                raise EOFError
            return (await self.process.stdout.readexactly(head + body))[:head]
        except asyncio.IncompleteReadError as fault:
            raise EOFError from fault

    async def run(self, job: Job, body: bytes) -> Extracted | Failure:
        assert self.process.stdin is not None
        self.pages += 1
        self.process.stdin.write(frame_head(job_head(job), len(body)))
        for start in range(0, len(body), WRITE_BYTES):
            # In pieces, so that a large page is not copied in one go while the loop stands still.
            self.process.stdin.write(body[start : start + WRITE_BYTES])
            await self.process.stdin.drain()
        return read_outcome(await self.read_frame())

    async def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


class Pool:
    """At most `size` pages at once. `start` returns at once; `stop` leaves no process."""

    def __init__(self, size: int, *, page_ms: int, worker_bytes: int) -> None:
        self._size = size
        self._page_ms = page_ms
        self._worker_bytes = worker_bytes
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._all: set[_Worker] = set()
        self._starting: set[asyncio.Task[None]] = set()
        self._stopped = False

    def start(self) -> None:
        for _ in range(self._size):
            self._replace()

    async def stop(self) -> None:
        self._stopped = True
        for task in list(self._starting):
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        await asyncio.gather(*(worker.stop() for worker in self._all))

    async def extract(self, job: Job, body: bytes, deadline_ms: int) -> Extracted | Failure:
        """The parts of one page, or what it did to its worker."""
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                worker = await self._living()
        except TimeoutError:
            return Failure("time", "no extraction worker was free in time")
        whole = False
        try:
            async with asyncio.timeout(min(self._page_ms, deadline_ms) / 1000):
                outcome = await worker.run(job, body)
            whole = not (isinstance(outcome, Failure) and outcome.kind == "memory")
        except TimeoutError:
            outcome = Failure("time", "the page took too long to take apart")
        except (EOFError, ConnectionError, orjson.JSONDecodeError):
            outcome = Failure("crash", "the page broke its extraction worker")
        finally:
            # Also when the client goes away: a worker in the middle of a page is of no more use.
            await self._give_back(worker, whole=whole)
        return outcome

    async def _living(self) -> _Worker:
        """An idle worker; one that was killed while it was idle is replaced, and costs no page."""
        while True:
            worker = await self._idle.get()
            if worker.process.returncode is None:
                return worker
            await self._give_back(worker, whole=False)

    async def _give_back(self, worker: _Worker, *, whole: bool) -> None:
        if whole and worker.pages < PAGES_PER_WORKER and worker.process.returncode is None:
            self._idle.put_nowait(worker)
            return
        self._all.discard(worker)
        self._replace()
        await asyncio.shield(worker.stop())

    def _replace(self) -> None:
        if not self._stopped:
            task = asyncio.create_task(self._bring_up())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _bring_up(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.reader.worker",
            f"--parent={os.getpid()}",
            f"--memory-bytes={self._worker_bytes}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=PIPE_BYTES,
        )
        worker = _Worker(process)
        self._all.add(worker)
        try:
            async with asyncio.timeout(START_S):
                await worker.read_frame()
        except (TimeoutError, EOFError):
            self._all.discard(worker)
            await worker.stop()
            await asyncio.sleep(1)  # a machine without memory must not be made to spin
            self._replace()
            return
        self._idle.put_nowait(worker)
