"""One server: keeps a connection to it, and says no at once while there is none.

1. A keeper task connects, tells credentials, database and scripts, and only then is the node up.
2. Before that, what must not outlive the process that it was written in is deleted, once.
3. A first failure is met with a new connection at once; what is asked meanwhile waits, within its
   deadline. Two failures within a second open the breaker: everything fails without waiting
   until the keeper, which tries with growing pauses, has had an answer again.
4. Where `doubts` are wanted, a server that was away is doubted until `trust`: in its absence others
   may have changed what it keeps copies of. What needs trust fails at once meanwhile.
5. A script that the server has forgotten is loaded again and the command sent once more.

Refuses to repeat a command whose answer was lost: only the caller knows whether that is harmless.
"""

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from gateway.errors import RedisUnavailable
from gateway.redis_link.answer import Answer, Dropped, Plain, Reply
from gateway.redis_link.connection import Connection, Counters
from gateway.redis_link.doubts import Doubts
from gateway.redis_link.wire import Endpoint, Script, Word, encode

FAILURES_TO_OPEN = 2
FAILURE_SPAN_S = 1.0
# From the time of one lost packet to that of a failover: short enough to notice a restart.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0
# A connection that lives less long is no reason to believe that all is well again.
STEADY_S = 2.0
# So many wait for a new connection; past that somebody else has to decide.
MOST_QUEUED = 256
ATTEMPTS = 4
_RUN_ID_LENGTH = 40
_SCANNED = 1_000
_SCAN_ENDS = b"0"

Redirect = Callable[["Node", Answer[object], str], None]


class State(Enum):
    """Of the connection to one server."""

    CONNECTING = auto()
    UP = auto()
    DOWN = auto()
    CLOSED = auto()


class Node:
    """A server at `endpoint`. `redirect` is given the error replies that are not a script's."""

    def __init__(
        self,
        endpoint: Endpoint,
        scripts: list[Script],
        volatile: list[str],
        counters: Counters,
        deadline_s: float,
        redirect: Redirect,
        doubts: Doubts,
    ) -> None:
        self.endpoint = endpoint
        self.state = State.CONNECTING
        self.cluster = False
        self.reason = "not connected yet"
        self.first_outcome = asyncio.Event()
        self._scripts = scripts
        self._volatile = volatile
        self._counters = counters
        self._deadline_s = deadline_s
        self._redirect = redirect
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._queued: deque[Answer[object]] = deque()
        self._failed_s: deque[float] = deque(maxlen=FAILURES_TO_OPEN)
        self._loading = False
        self._run_id = b""
        self._serves_writes = False
        self._doubts = doubts
        self.is_doubted = doubts.wanted
        self.away_since_s = self._loop.time()
        self._keeper = self._loop.create_task(self._keep(), name=f"redis {endpoint}")

    @property
    def is_up(self) -> bool:
        """Whether a command would be written now."""
        return self._connection is not None and not self._connection.lost.done()

    @property
    def is_down(self) -> bool:
        """Whether it failed so often that nothing waits for it."""
        return self.state is State.DOWN

    def send(self, answer: Answer[object]) -> None:
        """Send it, or let it wait for the connection, or fail it at once when there is none."""
        connection = self._connection
        if connection is not None and not connection.lost.done():
            if self.is_doubted and answer.needs_trust:
                answer.fail(RedisUnavailable(f"{self.endpoint}: it was away"))
                return
            connection.send(answer)
        elif not answer.may_wait or (self._doubts.wanted and answer.needs_trust):
            answer.fail(RedisUnavailable(f"{self.endpoint}: {self.reason}"))
        elif (self.state is State.CONNECTING or self.state is State.UP) and len(
            self._queued
        ) < MOST_QUEUED:
            # Up, but lost a moment ago: the keeper is about to connect again.
            self._queued.append(answer)
        else:
            answer.fail(RedisUnavailable(f"{self.endpoint}: {self.reason}"))

    def give_up(self, reason: str) -> None:
        """End the connection: it leads to a server that cannot do what is asked."""
        if self._connection is not None:
            self._connection.drop(reason)

    def trust(self) -> None:
        """What it may have missed while it was away is told to it."""
        self.is_doubted = False

    async def close(self) -> None:
        """Drop the connection; what waits fails."""
        self.state = State.CLOSED
        self.reason = "closed"
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        if self._connection is not None:
            self._connection.drop("closed")
            self._connection = None
        self._fail_queued()

    async def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            connection = await self._connect()
            if connection is not None:
                up_s = self._loop.time()
                self._up(connection)
                self.reason = await asyncio.shield(connection.lost)
                self._connection = None
                self.state = State.CONNECTING
                self._lost()
                if self.away_since_s - up_s >= STEADY_S:
                    pause_s = FIRST_PAUSE_S
            if not self._failed():
                continue
            self.state = State.DOWN
            self._fail_queued()
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _up(self, connection: Connection) -> None:
        self._connection = connection
        self.state = State.UP
        self._loading = False
        self._counters.connects += 1
        self.first_outcome.set()
        queued, self._queued = self._queued, deque()
        for answer in queued:
            self.send(answer)
        if self.is_doubted:
            self._doubts.returned.set()

    def _lost(self) -> None:
        self.away_since_s = self._loop.time()
        self.is_doubted = self._doubts.wanted

    def _failed(self) -> bool:
        """Note a failure; whether it opens the breaker."""
        now_s = self._loop.time()
        self._failed_s.append(now_s)
        self.first_outcome.set()
        self._fail_late(now_s)
        full = len(self._failed_s) == FAILURES_TO_OPEN
        return full and (self.state is State.DOWN or now_s - self._failed_s[0] <= FAILURE_SPAN_S)

    def _fail_late(self, now_s: float) -> None:
        while self._queued and now_s - self._queued[0].started_s >= self._deadline_s:
            self._queued.popleft().fail(RedisUnavailable(f"{self.endpoint}: {self.reason}"))

    def _fail_queued(self) -> None:
        while self._queued:
            self._queued.popleft().fail(RedisUnavailable(f"{self.endpoint}: {self.reason}"))

    async def _connect(self) -> Connection | None:
        """A connection that has answered the greeting, or None, with the reason noted."""
        connection = Connection(self._loop, self._deadline_s, self._counters, self._error)
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._dial(connection)
                await self._greet(connection)
            await self._forget(connection)
        except (OSError, TimeoutError, RedisUnavailable) as fault:
            self.reason = f"cannot connect: {str(fault) or 'no answer within the deadline'}"
            connection.drop(self.reason)
            return None
        except asyncio.CancelledError:
            connection.drop("closed")
            raise
        return connection

    async def _dial(self, connection: Connection) -> None:
        at = self.endpoint
        if at.path is not None:
            await self._loop.create_unix_connection(lambda: connection, at.path)
            return
        tls = ssl.create_default_context() if at.tls else None
        await self._loop.create_connection(lambda: connection, at.host, at.port, ssl=tls)

    async def _greet(self, connection: Connection) -> None:
        at = self.endpoint
        if at.password is not None:
            user = () if at.user is None else (at.user,)
            await self._ask(connection, "AUTH", *user, at.password)
        if at.db:
            await self._ask(connection, "SELECT", at.db)
        loads = [self._say(connection, script.load()) for script in self._scripts]
        info = await self._ask(connection, "INFO")
        for load in loads:
            await load
        if isinstance(info, bytes):
            self.cluster = b"cluster_enabled:1" in info
            self._serves_writes = b"role:slave" not in info
            if not self._serves_writes and not self.cluster:
                # Its master was changed: it can only refuse, so this is as good as away.
                raise RedisUnavailable("it is a replica")
            self._know(info.partition(b"run_id:")[2][:_RUN_ID_LENGTH])

    async def _forget(self, connection: Connection) -> None:
        """Delete what may not outlive the process that it was written in, before anybody reads.

        Another process may have begun with an old snapshot, or as a replica that had not all of it.
        A script that names the process is the mark that it was done: no snapshot has scripts.
        """
        if not self._volatile or not self._serves_writes:
            return
        mark = Script.of(f"return '{self._run_id.decode()}'")
        if await self._ask(connection, "SCRIPT", "EXISTS", mark.sha) == [1]:
            return
        for pattern in self._volatile:
            await self._delete(connection, pattern)
        self._counters.memories += 1
        await self._say(connection, mark.load())

    async def _delete(self, connection: Connection, pattern: str) -> None:
        cursor = _SCAN_ENDS
        while True:
            words = ("SCAN", cursor, "MATCH", pattern, "COUNT", _SCANNED)
            page = await self._ask(connection, *words)
            assert isinstance(page, list)
            cursor, keys = page
            # One by one: in a cluster they belong to different slots.
            for deleted in [self._say(connection, encode("UNLINK", key)) for key in keys]:
                await deleted
            self._fail_late(self._loop.time())
            if cursor == _SCAN_ENDS:
                return

    def _know(self, run_id: bytes) -> None:
        """Note which process answers: another one than before remembers nothing of ours."""
        self._counters.restarts += self._run_id not in (b"", run_id)
        self._counters.memories += self._run_id != run_id
        self._run_id = run_id

    async def _ask(self, connection: Connection, *words: Word) -> Reply:
        return await self._say(connection, encode(*words))

    def _say(self, connection: Connection, command: bytes) -> Plain:
        answer = Plain(self._loop, None, command, self._loop.time())
        connection.send(answer)
        return answer

    def _error(self, answer: Answer[object], text: str) -> None:
        connection = self._connection
        if not text.startswith("NOSCRIPT") or connection is None or answer.attempts >= ATTEMPTS:
            self._redirect(self, answer, text)
            return
        answer.attempts += 1
        if not self._loading:
            self._load_again(connection)
        # Behind the scripts: the server works in the order in which we write.
        connection.send(answer)

    def _load_again(self, connection: Connection) -> None:
        self._loading = True
        now_s = self._loop.time()
        last: Answer[object] | None = None
        for script in self._scripts:
            last = Dropped(self._loop, None, script.load(), now_s)
            connection.send(last)
        if last is not None:
            last.add_done_callback(lambda _: self._loaded())

    def _loaded(self) -> None:
        self._loading = False
