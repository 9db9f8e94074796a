"""Money that goes back: refunds, disputes, and what their ends do to the charge."""

from dataclasses import dataclass

from tests.stripe_standin import shapes
from tests.stripe_standin.errors import ApiError, Obj, invalid
from tests.stripe_standin.payments import Payments
from tests.stripe_standin.world import World

_DISPUTE_FEE = 1500
APPEALED = "appeal_under_review"
OPEN = (
    APPEALED,
    "needs_response",
    "under_review",
    "warning_needs_response",
    "warning_under_review",
)


@dataclass(frozen=True, slots=True)
class Reversals:
    """Refunds and disputes of one world."""

    world: World
    payments: Payments

    def refund(
        self,
        paid: Obj,
        amount: int | None = None,
        *,
        reason: str | None = None,
        metadata: dict[str, str] | None = None,
        pending: bool = False,
    ) -> Obj:
        """Give a part or all that is left back; ApiError when that cannot be."""
        left = int(paid["amount_captured"]) - int(paid["amount_refunded"])
        self._refundable(paid, left, amount)
        wanted = left if amount is None else amount
        thing = shapes.refund(self.world, paid, wanted, reason=reason, metadata=metadata or {})
        thing["status"] = "pending" if pending else "succeeded"
        moved = self.payments.moved(thing, -wanted, "refund")
        thing["balance_transaction"] = moved["id"]
        self.world.add(thing)
        before = {"amount_refunded": paid["amount_refunded"], "refunded": paid["refunded"]}
        self._count(paid, wanted)
        self._keep(paid)
        self.world.emit("refund.created", thing)
        self.world.emit("charge.refunded", paid, previous=before)
        if not pending:
            self._updated(thing)
        return thing

    def refund_ends(self, thing: Obj, *, failed: bool) -> Obj:
        """A refund arrived after all, or came back: then the charge is not refunded by it."""
        paid = self.world.get("charge", thing["charge"])
        if thing["status"] == "failed":
            raise ApiError(400, "This refund has failed before.")
        if not failed:
            thing["status"] = "succeeded"
            self._updated(thing)
            return thing
        moved = self.payments.moved(thing, int(thing["amount"]), "refund_failure")
        thing |= {
            "failure_balance_transaction": moved["id"],
            "failure_reason": "lost_or_stolen_card",
            "status": "failed",
        }
        self._count(paid, -int(thing["amount"]))
        self._keep(paid)
        self._updated(thing)
        self.world.emit("refund.failed", thing)
        return thing

    def open_dispute(
        self,
        paid: Obj,
        amount: int | None = None,
        *,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> Obj:
        """A chargeback withdraws the money at once; an inquiry only asks."""
        status = "warning_needs_response" if inquiry else "needs_response"
        wanted = int(paid["amount"]) if amount is None else amount
        thing = self.world.add(shapes.dispute(self.world, paid, wanted, reason, status))
        paid["disputed"] = True
        self.world.emit("charge.dispute.created", thing)
        if not inquiry:
            self.withdraw(thing)
        return thing

    def withdraw(self, thing: Obj) -> None:
        """The disputed amount and a fee leave the balance."""
        moved = self.payments.moved(
            thing, -int(thing["amount"]), "adjustment", "dispute", _DISPUTE_FEE
        )
        thing["balance_transactions"].append(moved)
        self.world.emit("charge.dispute.funds_withdrawn", thing)

    def respond(self, thing: Obj) -> Obj:
        """Evidence was handed in."""
        warning = str(thing["status"]).startswith("warning")
        thing["status"] = "warning_under_review" if warning else "under_review"
        thing["evidence_details"] |= {"has_evidence": True, "submission_count": 1}
        self.world.emit("charge.dispute.updated", thing)
        return thing

    def escalate(self, thing: Obj) -> Obj:
        """An inquiry becomes a chargeback."""
        thing |= {"status": "needs_response", "is_charge_refundable": False}
        self.withdraw(thing)
        self.world.emit("charge.dispute.updated", thing)
        return thing

    def close_dispute(self, thing: Obj, outcome: str) -> Obj:
        """`won`: the money comes back. `lost`: it does not. An inquiry only ends."""
        if thing["status"] not in OPEN:
            raise ApiError(400, f"This dispute is already {thing['status']}.")
        if str(thing["status"]).startswith("warning"):
            outcome = "warning_closed"
        thing["status"] = outcome
        self.world.emit("charge.dispute.closed", thing)
        if outcome == "won" and thing["balance_transactions"]:
            moved = self.payments.moved(
                thing, int(thing["amount"]), "adjustment", "dispute_reversal"
            )
            thing["balance_transactions"].append(moved)
            self.world.emit("charge.dispute.funds_reinstated", thing)
        return thing

    def appeal(self, thing: Obj) -> Obj:
        """A lost dispute is looked at once more; it may be won now, or lost again."""
        if thing["status"] != "lost":
            raise ApiError(400, f"This dispute is {thing['status']}: nothing to appeal against.")
        thing["status"] = APPEALED
        self.world.emit("charge.dispute.updated", thing)
        return thing

    def disputes_of(self, paid: Obj) -> list[Obj]:
        """Newest first."""
        return [one for one in self.world.all("dispute") if one["charge"] == paid["id"]]

    def _refundable(self, paid: Obj, left: int, amount: int | None) -> None:
        name = paid["id"]
        for one in self.disputes_of(paid):
            if not one["is_charge_refundable"] and one["status"] != "won":
                told = f"Charge {name} has been charged back; cannot issue a refund."
                raise ApiError(400, told, code="charge_disputed", executed=True)
        if not paid["captured"]:
            told = f"Charge {name} has not been paid; cannot issue a refund."
            raise ApiError(400, told, executed=True)
        if left <= 0:
            told = f"Charge {name} has already been refunded."
            raise ApiError(400, told, code="charge_already_refunded", executed=True)
        if amount is not None and amount > left:
            told = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise invalid(told, "amount")

    def _count(self, paid: Obj, amount: int) -> None:
        refunded = int(paid["amount_refunded"]) + amount
        paid |= {"amount_refunded": refunded, "refunded": refunded == paid["amount_captured"]}

    def _keep(self, paid: Obj) -> None:
        every = self.world.all("refund")
        paid["refunds"]["data"] = [
            self.world.show(one) for one in every if one["charge"] == paid["id"]
        ]

    def _updated(self, thing: Obj) -> None:
        self.world.emit("refund.updated", thing)
        self.world.emit("charge.refund.updated", thing)
