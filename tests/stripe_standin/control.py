"""What the operator of a stand-in may do by a button: each deed by its name.

Refuses, with a sentence, what cannot be done to that object now.
"""

import random
from collections.abc import Awaitable, Callable, Mapping

from tests.stripe_standin import offers
from tests.stripe_standin.courier import Courier
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.faults import KINDS, Fault, Faults

Deed = Callable[[Mapping[str, str]], Awaitable[str]]


class Control:
    """The deeds; every one answers what has happened."""

    def __init__(self, desk: Desk, courier: Courier, faults: Faults) -> None:
        self._desk = desk
        self._courier = courier
        self._faults = faults
        self._deeds: dict[str, Deed] = {
            "expire": self._expire,
            "settle": self._settle,
            "bounce": self._bounce,
            "refund": self._refund,
            "refund_fails": self._refund_fails,
            "refund_arrives": self._refund_arrives,
            "dispute": self._dispute,
            "escalate": self._escalate,
            "respond": self._respond,
            "won": self._won,
            "lost": self._lost,
            "appeal": self._appeal,
            "behave": self._behave,
            "promotion": self._promotion,
            "deliver": self._deliver,
            "hold": self._hold,
            "release": self._release,
            "reorder": self._reorder,
            "courier": self._set_courier,
            "lose": self._lose,
            "outage": self._outage,
            "well": self._well,
            "version": self._version,
            "advance": self._advance,
        }

    async def do(self, told: Mapping[str, str]) -> str:
        """Do what the form says; ApiError when that cannot be."""
        deed = self._deeds.get(told.get("do", ""))
        if deed is None:
            raise ApiError(400, f"Unknown: {told.get('do', '')}")
        return await deed(told)

    async def _expire(self, told: Mapping[str, str]) -> str:
        self._desk.checkout.expire(self._named(told, "checkout.session"))
        return "Expired."

    async def _settle(self, told: Mapping[str, str]) -> str:
        self._desk.checkout.settle(self._named(told, "checkout.session"), succeeded=True)
        return "The debit came in."

    async def _bounce(self, told: Mapping[str, str]) -> str:
        self._desk.checkout.settle(self._named(told, "checkout.session"), succeeded=False)
        return "The debit did not come in."

    async def _refund(self, told: Mapping[str, str]) -> str:
        amount = int(told["amount"]) if told.get("amount", "").isdigit() else None
        pending = told.get("how") == "pending"
        made = self._desk.reversals.refund(self._named(told, "charge"), amount, pending=pending)
        return f"Refunded {made['amount']}."

    async def _refund_fails(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.refund_ends(self._named(told, "refund"), failed=True)
        return "The refund came back."

    async def _refund_arrives(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.refund_ends(self._named(told, "refund"), failed=False)
        return "The refund arrived."

    async def _dispute(self, told: Mapping[str, str]) -> str:
        inquiry = told.get("how") == "inquiry"
        self._desk.reversals.open_dispute(self._named(told, "charge"), inquiry=inquiry)
        return "Disputed."

    async def _escalate(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.escalate(self._named(told, "dispute"))
        return "The inquiry is a dispute now."

    async def _respond(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.respond(self._named(told, "dispute"))
        return "Evidence was handed in."

    async def _won(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.close_dispute(self._named(told, "dispute"), "won")
        return "The dispute is won."

    async def _lost(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.close_dispute(self._named(told, "dispute"), "lost")
        return "The dispute is lost."

    async def _appeal(self, told: Mapping[str, str]) -> str:
        self._desk.reversals.appeal(self._named(told, "dispute"))
        return "The dispute is looked at once more."

    async def _behave(self, told: Mapping[str, str]) -> str:
        method = self._named(told, "payment_method")
        self._desk.world.behaviour[method["id"]] = told.get("how", "succeed")
        return f"From now on this card answers: {told.get('how')}."

    async def _promotion(self, told: Mapping[str, str]) -> str:
        percent, code = int(told.get("percent") or 0), told.get("code", "")
        offers.promotion(self._desk.world, code, percent=percent, amount=0, currency="usd")
        return f"{code} takes {percent} percent off."

    async def _deliver(self, told: Mapping[str, str]) -> str:
        status = await self._courier.deliver(self._named(told, "event"))
        return f"Delivered: {status}." if status else "Nobody answered."

    async def _hold(self, told: Mapping[str, str]) -> str:
        self._courier.hold()
        return "Events are held back."

    async def _release(self, told: Mapping[str, str]) -> str:
        self._courier.reset()
        return "Events are delivered once, at once, in order."

    async def _reorder(self, told: Mapping[str, str]) -> str:
        held = list(self._courier.held)
        random.shuffle(held)
        for event in held:
            await self._courier.deliver(event)
        return f"{len(held)} events were delivered in another order."

    async def _set_courier(self, told: Mapping[str, str]) -> str:
        self._courier.copies = min(int(told.get("copies") or 1), 10)
        self._courier.delay_s = min(float(told.get("delay_s") or 0), 3_600)
        self._courier.shuffle_s = min(float(told.get("shuffle_s") or 0), 3_600)
        return "So be it."

    async def _lose(self, told: Mapping[str, str]) -> str:
        self._courier.lose(told.get("kind") or "*", int(told.get("times") or 1))
        return "The next of these are lost."

    async def _outage(self, told: Mapping[str, str]) -> str:
        kind = told.get("kind", "")
        if kind not in KINDS:
            raise ApiError(400, f"Unknown outage: {kind}")
        fault = Fault(kind, path=told.get("path") or "*", status=int(told.get("status") or 503))
        fault.seconds = min(float(told.get("seconds") or 0), 600)
        fault.times = int(told["times"]) if told.get("times") else None
        self._faults.add(fault)
        return "The API is not well now."

    async def _well(self, told: Mapping[str, str]) -> str:
        self._faults.clear()
        return "The API is well."

    async def _version(self, told: Mapping[str, str]) -> str:
        self._desk.world.api_version = told.get("version") or self._desk.world.api_version
        return f"Events are made in version {self._desk.world.api_version}."

    async def _advance(self, told: Mapping[str, str]) -> str:
        self._desk.world.offset_s += min(int(told.get("seconds") or 0), 400 * 86_400)
        self._desk.checkout.expire_due()
        return "Time has passed."

    def _named(self, told: Mapping[str, str], kind: str) -> Obj:
        return self._desk.world.get(kind, told.get("id", ""))
