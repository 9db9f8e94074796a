"""The way to Redis: one server or a cluster, found out at the first connection.

1. A command names the slot of its keys; a single server takes them all, in a cluster the node
   that owns the slot. Commands of one loop tick to one node leave in one write.
2. A cluster's map of slots comes from CLUSTER SLOTS of any server, is mended by each MOVED reply,
   read again after a failure and each second while an owner is away. MOVED, ASK and TRYAGAIN are
   followed within the command's deadline.

Refuses keys of different slots in one command, and to wait longer than the deadline.
"""

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from gateway.errors import RedisUnavailable
from gateway.redis_link.answer import Answer, Bound, Plain, Trusted
from gateway.redis_link.connection import Counted, Counters
from gateway.redis_link.doubts import Doubts
from gateway.redis_link.node import ATTEMPTS, Node, State
from gateway.redis_link.wire import SLOTS, Endpoint, Script, Word, encode, read_urls

DEFAULT_DEADLINE_MS = 250
TRY_AGAIN_S = 0.01
_NO_MASTER = ("READONLY", "MASTERDOWN", "LOADING")
_NO_WRITES = ("OOM", "MISCONF", "NOREPLICAS")
# What has stopped a script stands behind the place where it was stopped.
_IN_SCRIPT = re.compile(r"ERR .*: -([A-Z]+) ")
# A map is read at most that often, however many ask; and so often while an owner is away.
REFRESH_PAUSE_S, LOOK_AGAIN_S = 0.1, 1.0


class RedisLink(Counted):
    """Redis at `url`; `deadline_ms` bounds every command, from its asking to its answer.

    Everything fails with RedisUnavailable: no connection, no answer in time, an error reply.
    """

    def __init__(self, url: str, *, deadline_ms: int = DEFAULT_DEADLINE_MS) -> None:
        self._endpoint, *self._others = read_urls(url)
        self._deadline_s = deadline_ms / 1_000
        self._scripts: list[Script] = []
        self._volatile: list[str] = []
        self._counters = Counters()
        self._seed: Node | None = None
        self._other_seeds: list[Node] = []
        self._nodes: dict[tuple[str, int], Node] = {}
        self._owners: list[Node | None] | None = None
        self._refresher: asyncio.Task[None] | None = None
        self._refresh_wanted = asyncio.Event()
        self._doubts = Doubts()

    @property
    def is_cluster(self) -> bool:
        """Whether the servers share the slots among them."""
        return self._owners is not None

    @property
    def is_up(self) -> bool:
        """Whether every node that owns slots is connected."""
        if self._owners is None:
            return self._seed is not None and self._seed.is_up
        return bool(self._nodes) and all(n.is_up for n in self._nodes.values())

    @property
    def reason(self) -> str:
        """Why it is not up, in words."""
        return "; ".join(f"{n.endpoint}: {n.reason}" for n in self._all() if not n.is_up)

    def script(self, text: str) -> Script:
        """Make a script known. Call it before `open`: connections load what is known by then."""
        assert self._seed is None, "a connection is greeted with the scripts known by then"
        script = Script.of(text)
        self._scripts.append(script)
        return script

    def forget_with_process(self, pattern: str) -> None:
        """Keys of this pattern are only read by those who talk to the process that they were
        written in: a snapshot or a replica that brings them back is old. Call it before `open`.
        """
        assert self._seed is None, "a connection deletes what is known by then"
        self._volatile.append(pattern)

    def doubt_who_was_away(self) -> None:
        """From now on what needs trust is only asked of servers that are trusted, see `doubted`."""
        self._doubts.wanted = True
        for node in self._all():
            node.is_doubted = True
            if node.is_up:
                self._doubts.returned.set()

    async def doubted(self) -> list[Node]:
        """Servers that are there and were away: wait until there is one."""
        while True:
            found = [node for node in self._all() if node.is_doubted and node.is_up]
            if found:
                return found
            self._doubts.returned.clear()
            await self._doubts.returned.wait()

    @property
    def is_trusted(self) -> bool:
        """Whether no server that has keys is doubted; who only showed the way may stay away."""
        return not any(node.is_doubted for node in self.masters)

    def _all(self) -> list[Node]:
        return [*self._nodes.values(), *([self._seed] if self._seed else []), *self._other_seeds]

    async def open(self) -> None:
        """Connect. RedisUnavailable when that fails; the link then goes on trying by itself."""
        assert self._seed is None, "opened twice"
        self._seed, *self._other_seeds = map(self._node, (self._endpoint, *self._others))
        self._refresher = asyncio.create_task(self._keep_map(), name="redis slots")
        for seed in (self._seed, *self._other_seeds):
            await seed.first_outcome.wait()
            if seed.is_up and seed.cluster:
                await self._read_map(seed)
                return
        if not self._seed.is_up:
            raise RedisUnavailable(f"{self._endpoint}: {self._seed.reason}")

    async def close(self) -> None:
        """Drop every connection; what waits fails."""
        if self._refresher is not None:
            self._refresher.cancel()
            await asyncio.wait([self._refresher])
        for node in self._all():
            await node.close()

    def send(self, answer: Answer[Any]) -> None:
        """Send the command of an answer to the owner of its slot; the answer tells the rest."""
        if self._owners is None or answer.slot is None:
            node = self._seed
        else:
            node = self._owners[answer.slot]
        if node is None:
            self._want_map()
            answer.fail(RedisUnavailable("no node serves this slot"))
            return
        if self._owners is not None and node.state is State.DOWN:
            self._want_map()
        node.send(answer)

    def call(self, slot: int | None, *words: Word) -> Plain:
        """Send one command. `slot` is that of its keys; None for a command without keys."""
        return self.write(slot, encode(*words))

    @property
    def masters(self) -> tuple[Node, ...]:
        """The servers that have keys: all owners of slots, or the only one."""
        if self._owners is None:
            return (self._seed,) if self._seed is not None else ()
        return tuple({node for node in self._owners if node is not None})

    def call_at(self, node: Node, *words: Word) -> Plain:
        """Send one command to this server, whatever it is about."""
        answer = Plain(loop := asyncio.get_running_loop(), None, encode(*words), loop.time())
        node.send(answer)
        return answer

    def write(self, slot: int | None, command: bytes) -> Plain:
        """Send one command that is encoded already."""
        return self._ask(Plain, slot, command)

    def ask_trusted(self, slot: int | None, command: bytes) -> Plain:
        """The same, only of a server that is trusted."""
        return self._ask(Trusted, slot, command)

    def write_now(self, slot: int | None, command: bytes) -> Plain:
        """The same, only to the process that is connected now; see `memories`."""
        return self._ask(Bound, slot, command)

    def _ask(self, kind: type[Plain], slot: int | None, command: bytes) -> Plain:
        answer = kind(loop := asyncio.get_running_loop(), slot, command, loop.time())
        self.send(answer)
        return answer

    def owns(self, node: Node, slot: int) -> bool:
        """Whether this server has the keys of that slot."""
        return self._owners is None or self._owners[slot] is node

    def _node(self, endpoint: Endpoint) -> Node:
        return Node(
            endpoint,
            self._scripts,
            self._volatile,
            self._counters,
            self._deadline_s,
            self._error,
            self._doubts,
        )

    def _at(self, host: str, port: int) -> Node:
        found = self._nodes.get((host, port))
        if found is None:
            found = self._nodes[(host, port)] = self._node(self._endpoint.at(host, port))
        return found

    def _error(self, node: Node, answer: Answer[Any], text: str) -> None:
        """An error reply: follow it if it says where to go, else it is the answer."""
        kind, _, rest = text.partition(" ")
        if kind == "MOVED" and self._owners is None:
            # Found to be a cluster only after `open` had given up on it.
            self._want_map()
        if self._owners is not None and answer.slot is not None and self._in_time(answer):
            if kind in ("MOVED", "ASK") and answer.attempts < ATTEMPTS:
                self._follow(node, answer, kind, rest)
                return
            if kind == "TRYAGAIN":
                # Bounded by the deadline, not by redirects: each try begins with a fresh ASK.
                answer.attempts = 0
                asyncio.get_running_loop().call_later(TRY_AGAIN_S, self.send, answer)
                return
            if kind in ("CLUSTERDOWN", *_NO_MASTER):
                self._want_map()
        stopped = _IN_SCRIPT.match(text)
        kind = stopped[1] if stopped else kind
        if kind in _NO_WRITES or (self._owners is None and kind in _NO_MASTER):
            # What this address leads to has changed; a new connection finds out to what. Or it
            # takes no writes: as good as away, for what changes meanwhile cannot be told to it.
            asyncio.get_running_loop().call_soon(node.give_up, text)
        answer.fail(RedisUnavailable(f"{node.endpoint}: {text}"))

    def _in_time(self, answer: Answer[Any]) -> bool:
        return asyncio.get_running_loop().time() - answer.started_s < self._deadline_s

    def _follow(self, node: Node, answer: Answer[Any], kind: str, rest: str) -> None:
        slot, _, address = rest.partition(" ")
        host, _, port = address.rpartition(":")
        target = self._at(host or node.endpoint.host, int(port))
        answer.attempts += 1
        answer.queued_s = asyncio.get_running_loop().time()
        if kind == "ASK":
            answer.asking = True
        elif self._owners is not None:
            self._owners[int(slot)] = target
            self._want_map()
        target.send(answer)

    def _want_map(self) -> None:
        self._refresh_wanted.set()

    async def _keep_map(self) -> None:
        """Read the map whenever somebody found it wrong, or an owner is away."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._refresh_wanted.wait()
            if self._refresh_wanted.is_set():
                await asyncio.sleep(REFRESH_PAUSE_S)
                self._refresh_wanted.clear()
            elif self.is_up:
                continue
            for node in await self._informed():
                with suppress(RedisUnavailable):
                    await self._read_map(node)
                    break

    async def _informed(self) -> list[Node]:
        """Those of a cluster that are there; whose map may be old, cut off as he is, comes last."""
        up = [node for node in self._all() if node.is_up and node.cluster]
        asked = [self.call_at(node, "CLUSTER", "INFO") for node in up]
        told = await asyncio.gather(*asked, return_exceptions=True)
        sure = [isinstance(text, bytes) and b"cluster_state:ok" in text for text in told]
        return sorted(up, key=lambda node: not sure[up.index(node)])

    async def _read_map(self, node: Node) -> None:
        rows = await self.call_at(node, "CLUSTER", "SLOTS")
        if not isinstance(rows, list):
            raise RedisUnavailable(f"{node.endpoint}: CLUSTER SLOTS answered {rows!r}")
        owners: list[Node | None] = [None] * SLOTS
        for first, last, master, *_ in rows:
            owner = self._at(master[0].decode() or node.endpoint.host, master[1])
            owners[first : last + 1] = [owner] * (last - first + 1)
        self._owners = owners
        await self._close_others(owner for owner in owners if owner is not None)

    async def _close_others(self, owners: Iterable[Node]) -> None:
        """Let go of nodes that own nothing any more."""
        kept = set(owners)
        for address, node in list(self._nodes.items()):
            if node not in kept:
                del self._nodes[address]
                await node.close()
