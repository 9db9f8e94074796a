"""Virtual time: an event loop whose clock jumps to the next timer, processes, chance, the trace.

Refuses to wait for anything real. A process is a context: every callback and task that comes of it
carries it, and from the moment it is killed none of them runs again.
"""

import asyncio
import contextvars
import hashlib
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any

from tests.simulation.subjects import Broken

START_S = 1_000.0
# 2027-01-15; PostgreSQL's and everybody else's clock begin here.
EPOCH_S = 1_800_000_000.0
_TAIL = 400


class Process:
    """Something that can be killed at any await. `skew_s`: how wrong its clock is."""

    def __init__(self, name: str, node: str, skew_s: float = 0.0) -> None:
        self.name = name
        self.node = node
        self.skew_s = skew_s
        self.alive = True
        self.context = contextvars.Context()
        self.context.run(CURRENT.set, self)
        self.tasks: set[asyncio.Task[Any]] = set()
        # Where it runs, and the queues of its threads (see disk).
        self.world: Any = None
        self.queues: list[Any] = []

    def __repr__(self) -> str:
        return self.name


CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
# What the world does by itself (the network, the servers) belongs to no process.
OUTSIDE = contextvars.Context()


class Trace:
    """What happened, in order: a hash of all of it and its tail in words."""

    def __init__(self) -> None:
        self.count = 0
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, now_s: float, who: str, text: str) -> None:
        line = f"{now_s - START_S:10.4f} {who:<6} {text}"
        self.count += 1
        self.tail.append(line)
        self._hash.update(line.encode())

    def digest(self) -> str:
        return self._hash.hexdigest()


class Stuck(AssertionError):
    """Nothing is left that could ever happen, and the run is not over."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs what is ready in order; when nothing is, time passes at once."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.now_s = START_S
        self.chance = Random(seed)
        self.trace = Trace()
        self.accidents: list[str] = []
        self.broken: Broken | None = None
        self.steps = 0
        self.network: Any = None
        self.set_task_factory(_task_of_process)  # type: ignore[arg-type]

    def time(self) -> float:
        return self.now_s

    def note(self, text: str) -> None:
        """A line of the trace, by whoever runs now."""
        process = CURRENT.get()
        self.trace.add(self.now_s, process.name if process else "-", text)

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while timers and timers[0]._cancelled:
                heapq.heappop(timers)._scheduled = False
            if not timers:
                raise Stuck("nothing is left to happen")
            self.now_s = max(self.now_s, timers[0]._when)
        while timers and timers[0]._when <= self.now_s:
            handle = heapq.heappop(timers)
            handle._scheduled = False
            ready.append(handle)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(CURRENT)
            if process is not None and not process.alive:
                continue
            self.steps += 1
            handle._run()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """They are dropped when their time comes."""

    def _write_to_self(self) -> None:
        """There is one thread."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Whatever escapes a callback is a bug of ours, and told at the end of the run."""
        fault = context.get("exception")
        if isinstance(fault, Broken):
            self.broken = self.broken or fault
        elif "never retrieved" not in context.get("message", ""):
            self.accidents.append(f"{context.get('message')}: {fault!r}")

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Another thread's work: done in one step, a moment later."""
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)

        self.call_later(self.chance.uniform(0.0001, 0.003), work)
        return future

    async def create_unix_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], path: str, **_: Any
    ) -> tuple[Any, Any]:
        return await self.network.dial(factory, path)  # type: ignore[no-any-return]

    def kill(self, process: Process) -> None:
        """From here on nothing of it happens. Its tasks are kept: one collected would clean up."""
        process.alive = False

    def bury(self, processes: list[Process]) -> None:
        """After the run: let go of what still waits, without a word of it reaching anybody."""
        for process in processes:
            process.alive = False
            for task in list(process.tasks):
                _drop(task)
            process.tasks.clear()
        for task in asyncio.all_tasks(self):
            _drop(task)
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]


def _drop(task: asyncio.Task[Any]) -> None:
    if task.done():
        return
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    coroutine = task.get_coro()
    with suppress(Exception):
        coroutine.close()


def _task_of_process(
    loop: asyncio.AbstractEventLoop,
    coroutine: Coroutine[Any, Any, Any],
    *,
    context: contextvars.Context | None = None,
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    process = context.get(CURRENT) if context is not None else CURRENT.get()
    if process is not None:
        process.tasks.add(task)
        task.add_done_callback(process.tasks.discard, context=OUTSIDE)
    return task


def outside(loop: VirtualLoop, at_s: float, work: Callable[..., Any], *args: Any) -> None:
    """Let the world do something at a time, whoever is dead by then."""
    loop.call_at(at_s, work, *args, context=OUTSIDE)
