"""One run: servers, disks, processes and clients of a seed, from first moment to rest."""

import asyncio
from random import Random
from typing import Any

from gateway.admission.ask import Code
from gateway.errors import Fault, PostgresUnavailable
from gateway.ledger.rows import BalanceRow, Deed
from tests.simulation import plan as plans
from tests.simulation.clients import Client, Journal
from tests.simulation.clockwork import EPOCH_S, OUTSIDE, START_S, Process, VirtualLoop
from tests.simulation.disk import Disk
from tests.simulation.faults import Faults
from tests.simulation.gateways import PREFIX, Gateway, hmac_of, key_text, run_gateway, run_worker
from tests.simulation.ledger_twin import LedgerTwin
from tests.simulation.network import Network, RedisServer
from tests.simulation.postgres_door import PostgresServer
from tests.simulation.redis_store import Store, Talk
from tests.simulation.services import Services
from tests.simulation.subjects import Broken
from tests.simulation.watcher import Watcher

SPAN_US = 250_000
# As long as a beat lives, and until its absence is believed.
SILENT_S = 11.0


class World:
    """What there is. `gateways` has every process that ever was one."""

    def __init__(self, plan: plans.Plan, talk: Talk) -> None:
        self.plan = plan
        self.loop = VirtualLoop(plan.seed)
        self.chance = Random(f"world {plan.seed}")
        self.talk = talk
        self.store = Store(talk)
        self.twin = LedgerTwin(self.loop.time)
        self.watcher = Watcher(SPAN_US, lambda text: self.note("redis", text), self._incarnation)
        self.redis = RedisServer(self.loop, self.store, self.watcher, self.now_us)
        self.postgres = PostgresServer(self.loop, self.twin)
        self.network = self.loop.network = Network(self.loop, self.redis)
        self.services = Services(self.loop, Random(f"services {plan.seed}"))
        for name in ("embeddings", "reader", "deepsearch"):
            self.network.services[name] = self.services.connected(name)
        self.nodes = [f"node{n}" for n in range(plan.nodes)]
        self.disks = {
            name: Disk(Random(f"{name} {plan.seed}"), self.loop.time, 1_000_000 * (place + 1))
            for place, name in enumerate(self.nodes)
        }
        self.slow_disk = False
        self.gateways: list[Gateway] = []
        self.slots: list[Gateway] = []
        self.workers: dict[str, Process] = {}
        self.processes: list[Process] = []
        self.journals: list[Journal] = []
        self.clients: list[Client] = []
        self.local: list[tuple[float, Any, int]] = []
        self.killed_s: dict[str, tuple[float, str]] = {}
        self.disk_faults = False
        self.troubled_until_s = 0.0
        self.power_s: dict[str, float] = {}
        # Before this a process may not have been counted by the others.
        self.counted_s = START_S + 3.0
        self.subjects = [f"k:{n + 1}" for n in range(len(plan.grants))] + [
            "a:192.0.2.1",
            "a:192.0.2.2",
        ]
        self.faults = Faults(self)
        self._minted()

    def _minted(self) -> None:
        for number, grant in enumerate(self.plan.grants, 1):
            self.twin.call("mint_key", (number, hmac_of(number), "abcd", None, grant, 0))

    def now_us(self) -> int:
        """Redis' clock."""
        return int((EPOCH_S + self.loop.now_s - START_S) * 1_000_000)

    def journal_waits(self) -> bool:
        """Whether a key was revoked of which the ledger does not know yet."""
        return any(self.twin.keys[key].status != "revoked" for key in self.watcher.buried)

    def calm_s(self) -> float:
        """Since when no fault hits a store, a disk or a process."""
        return max(0.0, self.loop.now_s - self.troubled_until_s)

    def _incarnation(self) -> int:
        return self.store.incarnation

    def note(self, who: str, text: str) -> None:
        self.loop.trace.add(self.loop.now_s, who, text)

    def disk_delay_s(self, node: str) -> float:
        """How long a write and its sync take now."""
        slow = self.slow_disk and self.chance.random() < 0.5
        return self.chance.uniform(0.05, 0.8) if slow else self.chance.uniform(0.0005, 0.004)

    def watch_alone(self, alone: Any) -> None:
        """Note what a process admits by itself, while Redis is away."""
        decide = alone.admit

        async def admit(ask: Any) -> Any:
            found = await decide(ask)
            if found.code is Code.ADMITTED:
                self.note("local", f"admits {ask.subject} {ask.product}")
                self.local.append((self.loop.now_s, ask, found.limit_requests))
                self.watcher.not_revoked(ask)
            return found

        alone.admit = admit

    def watch_orphans(self, gate: Any) -> None:
        """Whoever lives and beats has no orphans before their deadline."""
        find = gate.orphans

        async def orphans() -> Any:
            found = await find()
            living = {each.instance for each in self.slots if each.process.alive}
            for hold in found:
                early = hold.deadline_ms > self.now_us() // 1_000 and hold.instance in living
                if early and self.calm_s() > SILENT_S and self.loop.broken is None:
                    self.loop.broken = Broken(f"who lives has no orphans: {hold}")
            return found

        gate.orphans = orphans

    # ---------------------------------------------------------------- processes

    def _process(self, name: str, node: str) -> Process:
        skew_s = self.chance.uniform(-0.4, 0.4) if "skew" in self.plan.kinds else 0.0
        process = Process(name, node, skew_s)
        process.world = self
        self.processes.append(process)
        return process

    def start_gateway(self, place: int) -> None:
        """A gateway at this place, with a new name."""
        node = self.nodes[place % len(self.nodes)]
        number = len(self.gateways)
        found = Gateway(self._process(f"gw{number}", node), f"{node}-{number}")
        self.gateways.append(found)
        if place < len(self.slots):
            self.slots[place] = found
        else:
            self.slots.append(found)
        self.note(found.process.name, f"starts on {node}")
        self._run(found.process, run_gateway(self, found))

    def _run(self, process: Process, work: Any) -> None:
        """A task of a process; what it raises is nobody's else to see."""

        def ended(task: Any) -> None:
            if not task.cancelled() and task.exception() is not None:
                self.loop.accidents.append(f"{process.name} ends: {task.exception()!r}")

        task = self.loop.create_task(work, context=process.context)
        task.add_done_callback(ended)

    def start_worker(self, node: str) -> None:
        process = self.workers[node] = self._process(f"w-{node}", node)
        self.note(process.name, "starts")
        self._run(process, run_worker(self, process))

    def kill(self, process: Process, *, how: str = "killed") -> None:
        """From one moment to the next; its thread may be in the middle of a write."""
        if not process.alive:
            return
        self.note(process.name, how)
        for queue in process.queues:
            if queue.items and self.chance.random() < 0.5:
                process.context.run(queue.work)
        self.loop.kill(process)
        self.disks[process.node].let_go(process)
        self.killed_s[process.name] = (self.loop.now_s, how)
        for line in list(self.redis.lines):
            if line.process is process:
                line.wire.closed = True
                line.ended()
        for client in self.clients:
            if client.journal.gateway == process.name:
                client.killed()

    # ---------------------------------------------------------------- clients and operators

    def ask(self, ask: plans.Ask) -> None:
        """A client asks the gateway that is there now, if one is."""
        found = self.slots[ask.gateway % len(self.slots)]
        number = len(self.journals)
        journal = Journal(number, ask.product, ask.key, found.process.name, self.loop.now_s)
        self.journals.append(journal)
        if found.server is None or not found.process.alive:
            journal.cut_s = self.loop.now_s
            return
        client = Client(self.loop, journal)
        self.clients.append(client)
        self.note(f"c{number}", f"asks {found.process.name} for {ask.product} with {ask.key}")
        self.loop.call_soon(self._connect, found, client, ask, context=found.process.context)
        if ask.leaves_s is not None:
            self.loop.call_later(ask.leaves_s, client.leave, context=OUTSIDE)

    def _connect(self, found: Gateway, client: Client, ask: plans.Ask) -> None:
        wire = client.connect(found.server(), found.process.context, ask.address)
        wire.tell(_request(ask))

    def do(self, deed: plans.Deed) -> None:
        """An operator asks some gateway."""
        found = next((g for g in self.slots if g.process.alive and g.server), None)
        if found is not None:
            self._run(found.process, self._do(found, deed))

    async def _do(self, found: Gateway, deed: plans.Deed) -> None:
        book, gate, key = found.book, found.gate, deed.key
        try:
            if deed.kind == "revoke":
                try:
                    done: Any = await book.end_key(key)
                except PostgresUnavailable:
                    await found.revocations.take(key)
                    self.note("admin", f"revocation of {key} is in the journal")
                    self.watcher.buried[key] = self.store.incarnation
                    return
                rows = [done.sender] if isinstance(done, Deed) else []
            elif deed.kind == "credit":
                done = await book.credit(key, deed.tokens, "paid", f"credit {key} {deed.at_s}")
                rows = [done] if isinstance(done, BalanceRow) else []
            elif deed.kind == "limits":
                changes = {"embeddings": {"rpm": deed.tokens % 7 + 1}}
                done = await book.set_limits(key, changes)
                rows = [done] if isinstance(done, BalanceRow) else []
            else:
                done = await book.set_status(key, "suspended")
                rows = [done] if isinstance(done, BalanceRow) else []
            await gate.settle((), rows)
        except Fault as fault:
            self.note("admin", f"{deed.kind} of {key}: {fault}")
            return
        self.note("admin", f"{deed.kind} of {key} answered")
        if deed.kind == "revoke" and rows:
            self.watcher.revoked.add(key)
        if deed.kind == "suspend":
            await asyncio.sleep(deed.tokens / 300)
            try:
                row = await book.set_status(key, "active")
                if isinstance(row, BalanceRow):
                    await gate.put_balance(row)
            except Fault:
                self.note("admin", "stays suspended")


def _request(ask: plans.Ask) -> bytes:
    """The bytes of a request."""
    lines = b"Connection: close\r\n"
    if ask.key is not None:
        lines += b"Authorization: Bearer %b\r\n" % key_text(ask.key).encode()
    if ask.cap is not None:
        lines += b"X-Max-Charge: %d\r\n" % ask.cap
    if ask.product == "reader":
        return b"GET /https://example.com/ HTTP/1.1\r\nHost: r.localhost\r\n%b\r\n" % lines
    path, body = b"/v1/embeddings", b'{"input":"%b"}' % (b"x " * (ask.size // 2))
    host = b"api.localhost"
    if ask.product == "deepsearch":
        path, host = b"/v1/chat/completions", b"deepsearch.localhost"
        body = b'{"stream":true,"messages":[{"role":"user","content":"why"}]}'
    lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\nHost: %b\r\n%b\r\n%b" % (path, host, lines, body)


__all__ = ["PREFIX", "World"]
