"""The ledger in memory: what the SQL functions that Book calls promise, in plain Python.

One call is one transaction. A randomized test runs the same calls against PostgreSQL and compares
every answer and all that is left (test_twin.py), so that it cannot drift. Refuses what the
simulation does not use: web, billing, classifiers, exports.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from tests.simulation.ledger_rows import (
    MOST,
    Instance,
    Key,
    Posted,
    Refused,
    deed,
    id_of,
    transfer_refusal,
)
from tests.simulation.outbox_twin import OutboxTwin, Rows


class LedgerTwin(OutboxTwin):
    """All tables that count; `now_s` is the server's clock."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        super().__init__()
        self._now_s = now_s
        self.outcomes: dict[str, Posted] = {}
        self.given_back: dict[str, int] = {}
        self.transfers: list[tuple[str, str, int, int | None, int | None]] = []
        self.instances: dict[str, Instance] = {}
        self.contradictions: set[tuple[str, bytes]] = set()
        self.revoked_s: dict[int, float] = {}
        self._credits: dict[str, tuple[int, int, str]] = {}

    def call(self, name: str, values: Sequence[Any]) -> Rows:
        """The named query with its values; raises Refused, and KeyError for a name unknown here."""
        return _CALLS[name](self, *values)

    def mint_key(
        self, key_id: int, hmac: bytes, _last: str, _address: Any, grant: int, _most: int
    ) -> Rows:
        if key_id not in self.keys:
            key = self.keys[key_id] = Key(key_id, hmac)
            if grant > 0:
                self._transfer("grant", str(key_id), grant, None, key, "trial")
        return self._verdict(key_id)

    def find_key(self, hmac: bytes) -> Rows:
        return [
            {"key_id": k.key_id, "created_at_ms": 0} for k in self.keys.values() if k.hmac == hmac
        ]

    def load_balance(self, key_id: int) -> Rows:
        return [self.keys[key_id].row()] if key_id in self.keys else []

    def load_balances(self, key_ids: Sequence[int]) -> Rows:
        return [self.keys[each].row() for each in dict.fromkeys(key_ids) if each in self.keys]

    def credit_key(self, key_id: int, tokens: int, bucket: str, ref: str) -> Rows:
        asked = (key_id, tokens, bucket)
        if ref in self._credits:
            same = self._credits[ref] == asked
            return self._verdict(key_id, None if same else "REF_USED_OTHERWISE")
        key = self.keys.get(key_id)
        if key is None:
            return self._verdict(None, "UNKNOWN_KEY")
        if key.status == "revoked":
            return self._verdict(key_id, "REVOKED")
        if tokens > MOST - key.trial - key.paid:
            return self._verdict(key_id, "TOO_MUCH")
        self._credits[ref] = asked
        self._transfer("credit", ref, tokens, None, key, bucket)
        if bucket == "paid" and key.tier != "premium":
            key.tier = "premium"
            key.version += 1
        self._note(key)
        return self._verdict(key_id)

    def set_key_status(self, key_id: int, status: str) -> Rows:
        key = self.keys.get(key_id)
        if key is None:
            return self._verdict(None, "UNKNOWN_KEY")
        if key.status == "revoked":
            return self._verdict(key_id, "REVOKED")
        if key.status != status:
            key.status = status
            key.version += 1
            self._note(key)
        return self._verdict(key_id)

    def set_key_limits(self, key_id: int, text: str) -> Rows:
        key, changes = self.keys.get(key_id), orjson.loads(text)
        if key is None:
            return self._verdict(None, "UNKNOWN_KEY")
        if key.status == "revoked":
            return self._verdict(key_id, "REVOKED")
        merged = {} if changes is None else {**key.limits, **changes}
        wanted = {name: value for name, value in merged.items() if value is not None}
        if wanted != key.limits:
            key.limits = wanted
            key.version += 1
            self._note(key)
        return self._verdict(key_id)

    def revoke_key(self, key_id: int, to: int | None, most: int) -> Rows:
        key = self.keys.get(key_id)
        if key is None:
            return [deed("UNKNOWN_KEY")]
        receiver = None if to is None else self.keys.get(to)
        if key.status == "revoked":
            return [deed(None, 0, 0, key, receiver)]
        moved = 0
        if to is not None:
            why = transfer_refusal(key, receiver, None, most)
            if why not in (None, "NOTHING_TO_MOVE"):
                return [deed(why)]
            assert receiver is not None
            moved = max(min(key.paid, most), 0)
            if moved:
                self._transfer("transfer", f"revoke/{key_id}", moved, key, receiver, "paid")
        trial, paid = key.trial, key.paid
        if trial:
            self._transfer("forfeit", f"{key_id}/trial", trial, key, None, "trial")
        if paid:
            self._transfer("forfeit", f"{key_id}/paid", paid, key, None, "paid")
        key.status = "revoked"
        key.version += 1
        self.revoked_s[key_id] = self._now_s()
        self._note(key)
        if moved and receiver is not None:
            self._note(receiver)
        return [deed(None, moved, trial + paid, key, receiver)]

    def transfer_paid(
        self, sender: int, to: int, tokens: int | None, most: int, ref: str, _name: Any, _asked: str
    ) -> Rows:
        one, other = self.keys.get(sender), self.keys.get(to)
        why = transfer_refusal(one, other, tokens, most)
        if why is not None:
            return [deed(why)]
        assert one is not None
        assert other is not None
        moved = min(one.paid, most) if tokens is None else tokens
        self._transfer("transfer", ref, moved, one, other, "paid")
        for key in sorted((one, other), key=lambda each: each.key_id):
            self._note(key)
        return [deed(None, moved, 0, one, other)]

    def recently_revoked(self, days: int, after: int, limit: int) -> Rows:
        since_s = self._now_s() - days * 86_400
        found = sorted(k for k, at in self.revoked_s.items() if k > after and at > since_s)
        return [self.keys[each].row() for each in found[:limit]]

    def post_outcomes(self, text: str) -> Rows:
        events = orjson.loads(text)
        keys = sorted({event[2] for event in events if event[2] is not None})
        unknown = [each for each in keys if each not in self.keys]
        if unknown:
            raise Refused("SL001", f"unknown keys: {unknown}")
        for event in events:
            self.instances.setdefault(event[13], Instance(self._now_s()))
        moved = dict.fromkeys(keys, 0)
        for event in events:
            known = self.outcomes.get(event[0])
            if known is None:
                self._post(event, moved)
            elif (known.kind, known.cost, known.key_id) != (event[1], event[4], event[2]):
                self.contradictions.add((event[0], orjson.dumps(event)))
        for key_id, count in moved.items():
            # One statement for all of a key's charges: one version.
            self.keys[key_id].version -= max(0, count - 1)
        return [self.keys[each].row() for each in keys]

    def _post(self, event: list[Any], moved: dict[int, int]) -> None:
        cost, key_id = event[4], event[2]
        from_trial = from_paid = 0
        if key_id is not None:
            key = self.keys[key_id]
            from_trial = min(cost, key.trial)
            from_paid = min(cost - from_trial, key.paid)
            if from_trial + from_paid:
                key.move(-from_trial, -from_paid)
                moved[key_id] += 1
        self.outcomes[event[0]] = Posted(
            tuple(event),
            event[1],
            key_id,
            cost,
            from_trial,
            from_paid,
            cost - from_trial - from_paid,
            event[10],
            event[13],
        )

    def refund_undelivered(self, requests: Sequence[str]) -> Rows:
        posted = [self.outcomes[r] for r in dict.fromkeys(requests) if r in self.outcomes]
        keys = sorted({o.key_id for o in posted if o.key_id is not None})
        for o in sorted(posted, key=lambda each: (each.key_id or 0, each.event[0])):
            if o.event[0] in self.given_back or o.key_id is None or not o.from_trial + o.from_paid:
                continue
            key = self.keys[o.key_id]
            into = None if key.status == "revoked" else key
            for bucket, tokens in (("trial", o.from_trial), ("paid", o.from_paid)):
                if tokens:
                    ref = f"{o.event[0]}/{bucket}"
                    self._transfer("undelivered", ref, tokens, None, into, bucket)
            self.given_back[o.event[0]] = o.from_trial + o.from_paid
            self._note(key)
        for each in requests:
            if each not in self.outcomes:
                self.contradictions.add((each, b"undelivered"))
        return [self.keys[each].row() for each in keys]

    def posted_requests(self, requests: Sequence[str]) -> Rows:
        return [{"request_id": each} for each in requests if each in self.outcomes]

    def beat_instance(
        self, name: str, below: int, unused: Sequence[int], stopped: bool, drained: bool
    ) -> Rows:
        known = self.instances.get(name)
        said = Instance(self._now_s(), max(below, 1), frozenset(unused), stopped, drained)
        if known is not None and drained and known.complete_below > said.complete_below:
            said.complete_below, said.unused = known.complete_below, known.unused
        self.instances[name] = said
        return [{"beat_instance": None}]

    def list_instances(self, limit: int) -> Rows:
        found = sorted(
            ((name, each) for name, each in self.instances.items() if not each.drained),
            key=lambda pair: -pair[1].beat_s,
        )
        return [
            {
                "instance": name,
                "beat_age_ms": int((self._now_s() - each.beat_s) * 1_000),
                "complete_below": each.complete_below,
                "stopped": each.stopped,
                "drained": each.drained,
            }
            for name, each in found[:limit]
        ]

    def count_gateways(self, alive_s: int) -> Rows:
        since_s = self._now_s() - alive_s
        alive = (not each.stopped and each.beat_s > since_s for each in self.instances.values())
        return [{"count": sum(alive)}]

    def drained_instances(self, names: Sequence[str]) -> Rows:
        return [
            {"instance": each}
            for each in names
            if each in self.instances and self.instances[each].drained
        ]

    def _transfer(
        self, kind: str, ref: str, tokens: int, debit: Key | None, credit: Key | None, bucket: str
    ) -> None:
        if any((kind, ref) == each[:2] for each in self.transfers):
            raise Refused("23505", "transfer_once")
        for key, sign in ((debit, -1), (credit, 1)):
            if key is not None:
                trial = sign * tokens if bucket == "trial" else 0
                key.move(trial, sign * tokens - trial)
        self.transfers.append((kind, ref, tokens, id_of(debit), id_of(credit)))

    def _verdict(self, key_id: int | None, refusal: str | None = None) -> Rows:
        key = self.keys.get(key_id) if key_id is not None else None
        row = Key(0).row() if key is None else key.row()
        return [{"refusal": refusal, "wait_s": None, **row}]


_CALLS: dict[str, Callable[..., Rows]] = {
    name: method
    for name, method in [*vars(OutboxTwin).items(), *vars(LedgerTwin).items()]
    if callable(method) and not name.startswith("_") and name != "call"
}
