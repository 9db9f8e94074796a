"""What Redis may decide, said a second time: exact logs beside the scripts, compared at each step.

Every command that the product's `Scripts` makes is known by what it was made of, so that what the
real Redis answered is judged by what was asked, not by how it is written down. Knows nothing of
entries: a window's promise is checked with the slack of one entry, and never the other way.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

from gateway.admission.ask import Ask, Code, Extension, Grant, Settlement
from gateway.admission.replies import decision, extension
from gateway.ledger.rows import BalanceRow
from tests.simulation.noted import Noted
from tests.simulation.subjects import Broken, Held, Subject, demand, total

WINDOW_US = 60_000_000
OWN = ("rpm", "tpm", "concurrency")


class Watcher:
    """Judges every answer of Redis; `revoked`: keys of which a revocation was answered."""

    def __init__(
        self, span_us: int, note: Callable[[str], None], incarnation: Callable[[], int]
    ) -> None:
        self._span_us = span_us
        self._note = note
        self._incarnation = incarnation
        # Revoked without the ledger, and in which process of Redis.
        self.buried: dict[int, int] = {}
        self._made: dict[bytes, tuple[Any, ...]] = {}
        self.subjects: dict[str, Subject] = {}
        self.saved: dict[str, Subject] = {}
        self.revoked: set[int] = set()
        self.admitted: list[tuple[int, Ask]] = []
        self.decisions = 0
        # Requests whose end Redis was told, in whichever process of it.
        self.settled: set[str] = set()

    def of(self, name: str) -> Subject:
        return self.subjects.setdefault(name, Subject())

    def watch(self, gate: Any, tombs: Any) -> None:
        """Know what is made for this gate, and for its tombstones."""
        gate.scripts.watcher = self
        tombs._bury = Noted(tombs._bury, self, "bury")
        tombs._lift = Noted(tombs._lift, self, "lift")

    def not_revoked(self, ask: Ask) -> None:
        """Demanded of each admission, wherever it is decided."""
        key_id = int(ask.subject[2:]) if ask.keyed else 0
        demand(key_id not in self.revoked, "a revoked key is not admitted", ask)
        buried = self.buried.get(key_id)
        demand(buried != self._incarnation(), "a key in the journal is not admitted", ask)

    def saved_now(self) -> None:
        """Redis has written a snapshot."""
        self.saved = deepcopy(self.subjects)

    def restarted(self, *, old: bool) -> None:
        """Redis knows nothing, or what the snapshot had."""
        self.subjects = deepcopy(self.saved) if old else {}

    def executed(self, commands: list[bytes], replies: list[Any], now_us: int) -> None:
        """What Redis has worked off at this time, and its answers."""
        for command, reply in zip(commands, replies, strict=True):
            made = self._made.get(command)
            if made is None:
                if isinstance(reply, int) and b"UNLINK" in command[:24] and b"b:k:" in command:
                    self._forgotten(command)
                continue
            if reply is None:
                continue  # the script was not loaded
            demand(not isinstance(reply, Exception), "no script fails", f"{made}: {reply!r}")
            getattr(self, f"_{made[0]}")(reply, now_us, *made[1:])

    def _forgotten(self, command: bytes) -> None:
        name = "k:" + command.rpartition(b"b:k:")[2].split(b"\r\n")[0].decode()
        self.of(name).copy = None
        self.of(name).tombs.clear()

    # ---------------------------------------------------------------- the scripts

    def _admit(self, reply: Any, now_us: int, ask: Ask, riders: Any) -> None:
        self._correct(None, now_us, ask.tag, ask.subject, riders)
        found = decision(list(reply))
        subject, code = self.of(ask.subject), found.code
        self.decisions += 1
        self._note(f"admit {ask.subject} {ask.product} {code.name} {ask.admission_no}")
        expected = self._barred(subject, ask)
        if expected is not None:
            demand(code is expected, "decision by the key's state", f"{code}, not {expected}")
            return
        demand(
            code not in (Code.BALANCE_NOT_LOADED, Code.REVOKED, Code.SUSPENDED),
            "decision by the key's state",
            code,
        )
        self._judge(subject, ask, found, now_us)
        if code is Code.ADMITTED:
            self._take(subject, ask, found, now_us)

    def _barred(self, subject: Subject, ask: Ask) -> Code | None:
        if not ask.keyed:
            return None
        if subject.copy is None:
            return Code.BALANCE_NOT_LOADED
        return {"revoked": Code.REVOKED, "suspended": Code.SUSPENDED}.get(subject.copy.status)

    def _judge(self, subject: Subject, ask: Ask, found: Any, now_us: int) -> None:
        limits, code = self._limits(subject, ask), found.code
        demand(
            (code is Code.ALREADY_HELD) == (ask.request_id in subject.holds),
            "held once under one id",
            (code, ask.request_id),
        )
        if code is Code.ALREADY_HELD:
            return
        free = 0 if subject.copy is None else subject.copy.trial + subject.copy.paid
        free -= subject.held()
        short = ask.keyed and 0 < ask.hold_tokens > free
        demand(
            (code is Code.BALANCE_TOO_LOW) == short,
            "a hold is covered by the balance",
            (code, free, ask.hold_tokens),
        )
        if code is Code.BALANCE_TOO_LOW:
            return
        requests = subject.requests.setdefault(ask.product, {})
        tokens = subject.tokens.setdefault(ask.product, {})
        cost = 0 if limits.tpm is None else min(ask.tpm_cost, limits.tpm)
        running = subject.open(ask.product)
        since_us = now_us - WINDOW_US
        loose_us = since_us - self._span_us
        if code is Code.ADMITTED:
            demand(total(requests, since_us) + 1 <= limits.rpm, "the request window", ask)
            if limits.tpm is not None:
                demand(total(tokens, since_us) + cost <= limits.tpm, "the token window", ask)
            demand(running < limits.concurrency, "open requests", ask)
        elif code is Code.RPM:
            demand(total(requests, loose_us) + 1 > limits.rpm, "a refusal for requests", ask)
        elif code is Code.TPM:
            demand(
                limits.tpm is not None and total(tokens, loose_us) + cost > limits.tpm,
                "a refusal for tokens",
                (ask, total(tokens, loose_us)),
            )
        elif code is Code.CONCURRENCY:
            demand(running >= limits.concurrency, "a refusal for open requests", ask)
        else:
            demand(False, "a refusal that was not to be", (code, ask))
        self._wait(found, now_us, requests if code is Code.RPM else tokens, limits, cost)

    def _wait(self, found: Any, now_us: int, log: Any, limits: Any, cost: int) -> None:
        """After the wait it fits; it would not have a span and a moment before."""
        if found.code not in (Code.RPM, Code.TPM):
            return
        limit, cost = (limits.rpm, 1) if found.code is Code.RPM else (limits.tpm, cost)
        then_us = now_us + found.retry_after_ms * 1_000 - WINDOW_US
        demand(total(log, then_us) + cost <= limit, "Retry-After is long enough", found)
        early_us = then_us - 1_001 - self._span_us
        demand(total(log, early_us) + cost > limit, "Retry-After is short enough", found)

    def _limits(self, subject: Subject, ask: Ask) -> Any:
        copy = subject.copy if ask.keyed else None
        if copy is None:
            return ask.limits_key
        limits = ask.limits_premium if copy.tier == "premium" else ask.limits_key
        own = copy.limits.get(ask.product, {})
        changes: dict[str, Any] = {name: own[name] for name in OWN if own.get(name) is not None}
        return replace(limits, **changes) if changes else limits

    def _take(self, subject: Subject, ask: Ask, found: Any, now_us: int) -> None:
        limits = self._limits(subject, ask)
        subject.requests[ask.product][ask.request_id] = (now_us, 1)
        if limits.tpm is not None:
            cost = min(ask.tpm_cost, limits.tpm)
            subject.tokens[ask.product][ask.request_id] = (now_us, cost)
        subject.holds[ask.request_id] = Held(ask.hold_tokens, ask.product)
        self.not_revoked(ask)
        self.admitted.append((now_us, ask))
        if ask.keyed and subject.copy is not None:
            left = max(0, subject.copy.trial + subject.copy.paid - subject.held())
            demand(found.remaining_balance == left, "the balance that is left", (found, left))

    def _correct(self, _: Any, now_us: int, tag: str, name: str, decided: Any) -> None:
        subject = self.of(name)
        for each in decided:
            held = subject.holds.get(each.request_id)
            if held is not None:
                self._amend(subject, held, each)
                held.tokens, held.decided = each.cost_tokens, True

    def _amend(self, subject: Subject, held: Held, told: Settlement) -> None:
        log = subject.tokens.get(held.product, {})
        if told.actual_tpm is not None and told.request_id in log:
            log[told.request_id] = (log[told.request_id][0], told.actual_tpm)

    def _settle(
        self, reply: Any, now_us: int, tag: str, name: str, settlements: Any, row: Any
    ) -> None:
        subject, released = self.of(name), 0
        for each in settlements:
            self.settled.add(each.request_id)
            held = subject.holds.pop(each.request_id, None)
            if held is not None:
                self._amend(subject, held, each)
                released += 1
        if row is not None and (subject.copy is None or row.version > subject.copy.version):
            subject.take(row)
        version = -1 if subject.copy is None else subject.copy.version
        demand(list(reply) == [released, version], "a settlement", (reply, released, version))

    def _extend(
        self, reply: Any, now_us: int, tag: str, name: str, request_id: str, wanted: int
    ) -> None:
        found: Extension = extension(reply)
        subject = self.of(name)
        held, copy = subject.holds.get(request_id), subject.copy
        if held is None or held.decided:
            expected = Grant.GONE
        elif copy is None:
            expected = Grant.BALANCE_NOT_LOADED
        elif copy.status != "active":
            expected = Grant.REVOKED if copy.status == "revoked" else Grant.SUSPENDED
        else:
            free = copy.trial + copy.paid - subject.held()
            fits = wanted - held.tokens <= max(0, free)
            expected = Grant.GRANTED if fits else Grant.BALANCE_TOO_LOW
            if fits:
                held.tokens = max(held.tokens, wanted)
        demand(found.grant is expected, "a hold that grows", (found, expected))

    def _reassert(self, reply: Any, now_us: int, tag: str, hold: Any) -> None:
        subject = self.of(hold.subject)
        there = subject.holds.get(hold.request_id)
        demand(reply == (1 if there is None else 0), "a hold is put back once", (reply, hold))
        if there is not None and not there.decided:
            there.tokens = max(there.tokens, hold.hold_tokens)
        elif there is None:
            subject.holds[hold.request_id] = Held(hold.hold_tokens, hold.product)

    def _bury(self, reply: Any, now_us: int, key_id: int, name: str) -> None:
        subject = self.of(f"k:{key_id}")
        if subject.copy is None:
            subject.copy = BalanceRow(key_id, -1, 0, 0, "", "key", {})
        if subject.copy.status != "revoked":
            subject.tombs, subject.was = {name}, subject.copy.status
            subject.copy = replace(subject.copy, status="revoked")
        elif subject.tombs:
            subject.tombs.add(name)

    def _lift(self, reply: Any, now_us: int, key_id: int, name: str) -> None:
        subject = self.of(f"k:{key_id}")
        there = name in subject.tombs
        demand(reply == int(there), "a tombstone is lifted by its name", (key_id, name))
        subject.tombs.discard(name)
        if there and subject.copy is not None and not subject.tombs:
            subject.copy = replace(subject.copy, status=subject.was) if subject.was else None

    # ---------------------------------------------------------------- what is there

    def compare(self, hashes: dict[str, dict[str, str]]) -> None:
        """Holds in Redis, by key, are as they ought to be, and add up."""
        there = {key.partition("}h:")[2]: fields for key, fields in hashes.items()}
        for name, fields in there.items():
            demand(bool(self.of(name).holds), "no hold that was not made", (name, fields))
        for name, subject in self.subjects.items():
            found = there.get(name, {})
            ids = {word for word in found if not word.startswith("#")}
            demand(ids == subject.holds.keys(), "the holds", (name, ids, subject.holds))
            demand(int(found.get("#held", 0)) == subject.held(), "the sum of holds", found)
            for product in {each.product for each in subject.holds.values()}:
                told = int(found.get(f"#open:{product}", 0))
                demand(told == subject.open(product), "open places", (name, found))


__all__ = ["Broken", "Watcher", "demand"]
