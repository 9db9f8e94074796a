"""What happens to a payment: taken, declined, pending, settled; the events of each step.

Promises that every movement of money has one balance transaction, and that the objects and the
events tell one story.
"""

from dataclasses import dataclass

from tests.stripe_standin import money, shapes
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.world import World

# What a card can do; a code of DECLINES besides.
SUCCEEDS, AUTHENTICATES, SETTLES_LATER = "succeed", "authentication_required", "processing"
_SAYS = {
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "generic_decline": "Your card was declined.",
    "lost_card": "Your card was declined.",
    "stolen_card": "Your card was declined.",
    "do_not_honor": "Your card was declined.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    AUTHENTICATES: "Your card was declined. This transaction requires authentication.",
    "authentication_failed": "We are unable to authenticate your payment method.",
    "debit_failed": "The customer's bank account could not be debited.",
}
DECLINES = tuple(name for name in _SAYS if name not in (AUTHENTICATES, "debit_failed"))
# Some declines are codes of their own; the rest are card_declined with a decline_code.
_OWN_CODE = {
    "expired_card": "expired_card",
    "incorrect_cvc": "incorrect_cvc",
    "processing_error": "processing_error",
    AUTHENTICATES: "authentication_required",
    "authentication_failed": "payment_intent_authentication_failure",
    "debit_failed": "payment_method_provider_decline",
}
# The tokens of the test mode, and how the payment method made from one behaves.
TEST_METHODS = {
    "pm_card_visa": SUCCEEDS,
    "pm_card_mastercard": SUCCEEDS,
    "pm_card_visa_chargeDeclined": "generic_decline",
    "pm_card_chargeDeclined": "generic_decline",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedLostCard": "lost_card",
    "pm_card_authenticationRequired": AUTHENTICATES,
    "pm_card_threeDSecure2Required": AUTHENTICATES,
    "pm_sepaDebit": SETTLES_LATER,
    "pm_usBankAccount_success": SETTLES_LATER,
}


@dataclass(frozen=True, slots=True)
class Payments:
    """Moves intents and charges of one world."""

    world: World

    def method(self, kind: str, behaviour: str, details: Obj) -> Obj:
        """A new payment method that behaves so whenever it is charged."""
        thing = self.world.add(shapes.payment_method(self.world, kind, details))
        self.world.behaviour[thing["id"]] = behaviour
        return thing

    def attach(self, method: Obj, customer: str) -> None:
        """Keep it with the customer for later payments."""
        if method["customer"] is None:
            method["customer"] = customer
            self.world.emit("payment_method.attached", method)

    def succeed(self, intent: Obj, method: Obj) -> Obj:
        """Money comes in at once."""
        paid = self._charge(intent, method)
        self._collected(intent, paid)
        return paid

    def begin(self, intent: Obj, method: Obj) -> Obj:
        """A debit is on its way; `settle` or `bounce` ends it."""
        paid = self._charge(intent, method)
        intent["status"] = "processing"
        self.world.emit("charge.pending", paid)
        self.world.emit("payment_intent.processing", intent)
        return paid

    def settle(self, intent: Obj) -> None:
        """The debit came in."""
        paid = self.world.find(intent["latest_charge"])
        if paid is not None and intent["status"] == "processing":
            self._collected(intent, paid)

    def bounce(self, intent: Obj) -> None:
        """The debit did not come in."""
        paid = self.world.find(intent["latest_charge"])
        if paid is not None and intent["status"] == "processing":
            self._failed(intent, paid, "debit_failed")

    def decline(self, intent: Obj, method: Obj, why: str) -> ApiError:
        """The bank says no; the refusal to answer with."""
        paid = self._charge(intent, method)
        return self._failed(intent, paid, why, method)

    def challenge(self, intent: Obj, method: Obj) -> None:
        """The buyer must prove who they are."""
        intent["payment_method"] = method["id"]
        intent["status"] = "requires_action"
        told: Obj = {
            "type": "use_stripe_sdk",
            "use_stripe_sdk": {"type": "three_d_secure_redirect"},
        }
        intent["next_action"] = told
        self.world.emit("payment_intent.requires_action", intent)

    def unproven(self, intent: Obj) -> ApiError:
        """The proof failed."""
        method = self.world.get("payment_method", intent["payment_method"])
        intent["next_action"] = None
        return self._refused(intent, None, "authentication_failed", method)

    def confirm(self, intent: Obj, method: Obj, *, off_session: bool) -> None:
        """Charge the method as it behaves; ApiError 402 when it is declined."""
        intent["payment_method"] = method["id"]
        behaviour = self.world.behaviour.get(method["id"], SUCCEEDS)
        if behaviour == SUCCEEDS:
            self.succeed(intent, method)
        elif behaviour == SETTLES_LATER:
            self.begin(intent, method)
        elif behaviour == AUTHENTICATES and not off_session:
            self.challenge(intent, method)
        else:
            raise self.decline(intent, method, behaviour)

    def moved(self, source: Obj, amount: int, kind: str, category: str = "", fee: int = 0) -> Obj:
        """A balance transaction because of this object."""
        return self.world.add(
            shapes.balance_transaction(
                self.world, amount, source["currency"], source["id"], kind, category or kind, fee
            )
        )

    def _charge(self, intent: Obj, method: Obj) -> Obj:
        paid = self.world.add(shapes.charge(self.world, intent, method))
        intent["latest_charge"] = paid["id"]
        intent["payment_method"] = method["id"]
        intent["next_action"] = None
        return paid

    def _collected(self, intent: Obj, paid: Obj) -> None:
        amount = int(intent["amount"])
        moved = self.moved(paid, amount, "charge", fee=money.fee(amount))
        paid |= {
            "amount_captured": amount,
            "balance_transaction": moved["id"],
            "captured": True,
            "outcome": {
                "advice_code": None,
                "network_status": "approved_by_network",
                "reason": None,
                "risk_level": "normal",
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
            "paid": True,
            "status": "succeeded",
        }
        intent |= {"amount_received": amount, "last_payment_error": None, "status": "succeeded"}
        self.world.emit("charge.succeeded", paid)
        self.world.emit("payment_intent.succeeded", intent)

    def _failed(self, intent: Obj, paid: Obj, why: str, method: Obj | None = None) -> ApiError:
        paid |= {
            "failure_code": _OWN_CODE.get(why, "card_declined"),
            "failure_message": _SAYS.get(why, _SAYS["generic_decline"]),
            "outcome": {
                "advice_code": None,
                "network_status": "declined_by_network",
                "reason": why,
                "risk_level": "normal",
                "seller_message": "The bank did not return any further details with this decline.",
                "type": "issuer_declined",
            },
            "status": "failed",
        }
        self.world.emit("charge.failed", paid)
        used = method or self.world.get("payment_method", paid["payment_method"])
        return self._refused(intent, paid, why, used)

    def _refused(self, intent: Obj, paid: Obj | None, why: str, method: Obj) -> ApiError:
        code = _OWN_CODE.get(why, "card_declined")
        error: Obj = {
            "code": code,
            "decline_code": why if code in ("card_declined", AUTHENTICATES) else None,
            "message": _SAYS.get(why, _SAYS["generic_decline"]),
            "type": "card_error",
            "charge": paid["id"] if paid else None,
        }
        intent["last_payment_error"] = {
            **{name: value for name, value in error.items() if value is not None},
            "payment_method": self.world.show(method),
        }
        # A method that failed is taken off the intent: another one may be tried.
        intent |= {"payment_method": None, "status": "requires_payment_method"}
        self.world.emit("payment_intent.payment_failed", intent)
        return ApiError(
            402,
            error["message"],
            kind="card_error",
            code=code,
            executed=True,
            decline_code=error["decline_code"],
            charge=error["charge"],
            payment_intent=self.world.show(intent),
            payment_method=self.world.show(method),
        )
