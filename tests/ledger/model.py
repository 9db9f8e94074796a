"""The ledger as twenty lines of plain Python: what PostgreSQL must agree with after every step.

Refuses concurrency: one step after the other, each written the obvious way.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class ModelKey:
    trial: int
    paid: int = 0
    status: str = "active"
    tier: str = "key"


@dataclass(slots=True)
class Model:
    """Keys, outcomes by request and what was given back; each method is one step of the book."""

    keys: dict[int, ModelKey] = field(default_factory=dict)
    charges: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    given_back: set[str] = field(default_factory=set)
    refs: set[str] = field(default_factory=set)
    forfeit: int = 0
    shortfall: int = 0

    def post(self, request: str, key_id: int, cost: int) -> None:
        if request in self.charges:
            return
        key = self.keys[key_id]
        from_trial = min(cost, key.trial)
        from_paid = min(cost - from_trial, key.paid)
        key.trial -= from_trial
        key.paid -= from_paid
        self.shortfall += cost - from_trial - from_paid
        self.charges[request] = (key_id, from_trial, from_paid)

    def give_back(self, request: str) -> None:
        if request in self.given_back or request not in self.charges:
            return
        self.given_back.add(request)
        key_id, from_trial, from_paid = self.charges[request]
        key = self.keys[key_id]
        if key.status == "revoked":
            self.forfeit += from_trial + from_paid
        else:
            key.trial += from_trial
            key.paid += from_paid

    def credit(self, key_id: int, tokens: int, bucket: str, ref: str) -> None:
        key = self.keys[key_id]
        if ref in self.refs or key.status == "revoked":
            return
        self.refs.add(ref)
        if bucket == "paid":
            key.paid += tokens
            key.tier = "premium"
        else:
            key.trial += tokens

    def transfer(self, sender: int, receiver: int, tokens: int, ref: str) -> None:
        one, other = self.keys[sender], self.keys[receiver]
        if ref in self.refs or sender == receiver or {one.tier, other.tier} != {"premium"}:
            return
        if {one.status, other.status} != {"active"} or tokens > one.paid:
            return
        self.refs.add(ref)
        one.paid -= tokens
        other.paid += tokens

    def revoke(self, key_id: int) -> None:
        key = self.keys[key_id]
        self.forfeit += key.trial + key.paid
        key.trial = key.paid = 0
        key.status = "revoked"
