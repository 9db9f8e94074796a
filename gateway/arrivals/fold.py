"""Folds what the gateway tells of requests into the columns of a block.

Refuses addresses and keys: a subject goes in as the keyed hash that is given. Refuses to know when
a block is full; whoever takes it does.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Final

from gateway.admission.ask import Ask, Code, Decision
from gateway.admission.model import PREMIUM
from gateway.arrivals.form import MOST_U32, Block, Kind

Arrived = tuple[Ask, Decision]
# Request id, tokens that it used, when it ended in us.
Ended = tuple[str, int, int]
# Endings that never come are of requests that were lost with their hold; then all are forgotten.
_MOST_OPEN: Final = 500_000
ANONYMOUS: Final = "anonymous"


class Fold:
    """The columns that grow, and the arrivals whose end is still to come."""

    def __init__(self, pseudonym: Callable[[str], bytes]) -> None:
        self._pseudonym = pseudonym
        self._number = 0
        self._open: dict[str, tuple[int, int]] = {}
        self._begin()

    def _begin(self) -> None:
        self._block = Block(self._number)
        self._kinds: dict[tuple[object, ...], int] = {}
        self._limits: list[object] = []
        self._subjects: dict[str, int] = {}
        self._ended: list[int] = []

    def __len__(self) -> int:
        return len(self._block.at) + len(self._block.ended_at)

    def arrived(self, told: Sequence[Arrived]) -> None:
        """In the order of their decisions."""
        block, kinds, subjects = self._block, self._kinds, self._subjects
        for ask, decision in told:
            limits = ask.limits_premium if decision.tier == PREMIUM else ask.limits_key
            code = decision.code
            key = (
                id(limits),
                ask.product,
                code,
                decision.limit_requests,
                decision.limit_tokens,
                ask.keyed,
                decision.degraded,
            )
            kind = kinds.get(key)
            if kind is None:
                kind = self._new_kind(key, ask, decision)
            subject = subjects.setdefault(ask.subject, len(subjects))
            block.at.append(decision.now_us)
            block.kind.append(kind)
            block.subject.append(subject)
            block.tokens.append(min(ask.tpm_cost, MOST_U32))
            if code is Code.ADMITTED:
                self._open[ask.request_id] = (self._number, decision.now_us)
            self._number += 1

    def ended(self, told: Sequence[Ended]) -> None:
        """Of requests that did not arrive here nothing is kept."""
        block = self._block
        for request_id, tokens, at_us in told:
            arrival = self._open.pop(request_id, None)
            if arrival is None:
                continue
            # Two clocks: it ended after it began.
            block.ended_at.append(max(at_us, arrival[1] + 1))
            self._ended.append(arrival[0])
            block.used.append(min(max(0, tokens), MOST_U32))
        if len(self._open) > _MOST_OPEN:
            self._open.clear()

    def take(self) -> Block:
        """The block as far as it is; another begins."""
        block = self._block
        block.subjects = b"".join(self._pseudonym(subject) for subject in self._subjects)
        end = self._number
        block.back = array("I", [min(end - number, MOST_U32) for number in self._ended])
        self._begin()
        return block

    def _new_kind(self, key: tuple[object, ...], ask: Ask, decision: Decision) -> int:
        is_premium = decision.tier == PREMIUM
        limits = ask.limits_premium if is_premium else ask.limits_key
        # Kept alive, or another object could get its id within this block.
        self._limits.append(limits)
        tier = decision.tier if ask.keyed else ANONYMOUS
        self._block.kinds.append(
            Kind(
                ask.product,
                tier,
                int(decision.code),
                decision.degraded,
                (limits.rpm, limits.tpm, limits.concurrency),
                decision.limit_requests,
                decision.limit_tokens,
            )
        )
        return self._kinds.setdefault(key, len(self._kinds))
