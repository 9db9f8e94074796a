"""Webhooks: a signature over the raw body, a row, 200; and then the order that it is about.

1. `receive`: not signed by Stripe within 300 s, or no event: refused. Of another account or mode,
   or of a kind that we do nothing about: accepted and forgotten. Else a row, once per event.
2. `run_once`: take rows with a lease, find their orders, look at each order once for all of its
   events. What fails waits, longer each time; a killed process's rows come back after the lease.

Refuses to move anything by what an event says: it only tells where to look.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from gateway.billing.looking import Hints, Looker
from gateway.billing.port import Port
from gateway.billing.till import InboxRow, Till
from gateway.billing.words import EVENT_KINDS
from gateway.errors import Fault

_LOG = logging.getLogger("sluice.billing")
MOST_BYTES: Final = 256 * 1_024
_BATCH: Final = 20
_LEASE_S: Final = 30
_LONGEST_WAIT_S: Final = 300
_IDLE_S: Final = 1.0


class Inbox:
    """Takes events in and works at them."""

    def __init__(self, till: Till, port: Port, looker: Looker, secrets: Sequence[str]) -> None:
        self._till = till
        self._port = port
        self._looker = looker
        self._secrets = tuple(secrets)
        self._woken = asyncio.Event()

    async def receive(self, raw: bytes, signature: str | None) -> str:
        """`new`, `known`, `foreign` or `unused`; the first two are kept when this returns.

        Raises SignatureWrong, EventUnreadable, PostgresUnavailable.
        """
        event = self._port.signed_event(raw, signature, self._secrets)
        if event.account is not None or event.livemode != self._port.livemode:
            return "foreign"
        hints = (event.order_id, event.session_id, event.payment_id)
        if event.kind not in EVENT_KINDS or not any(hints):
            return "unused"
        new = await self._till.note_event(event)
        self._woken.set()
        return "new" if new else "known"

    async def run_woken(self) -> int:
        """`run_once` as soon as an event came to this process, and now and then."""
        try:
            async with asyncio.timeout(_IDLE_S):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()
        return await self.run_once()

    async def run_once(self) -> int:
        """Work at one batch; how many events were dealt with."""
        rows = await self._till.take_inbox(_BATCH, _LEASE_S)
        orders: dict[str, list[InboxRow]] = {}
        done = 0
        for row in rows:
            try:
                order_id = await self._order_of(row)
            except Fault as fault:
                await self._later(row, fault)
                continue
            if order_id is None:
                await self._till.end_event(row.event_id, "not ours")
                done += 1
            else:
                orders.setdefault(order_id, []).append(row)
        works = (self._work(name, of) for name, of in orders.items())
        for ended in await asyncio.gather(*works, return_exceptions=True):
            # A bug at one order must not keep the others from being ended.
            if isinstance(ended, BaseException):
                raise ended
            done += ended
        return done

    async def _order_of(self, row: InboxRow) -> str | None:
        known = await self._till.find(row.order_hint, row.session_hint, row.payment_hint)
        if known is not None or row.payment_hint is None:
            return known
        # A refund or dispute may come before the payment's own event: the payment names its order.
        intent = await self._port.intent(row.payment_hint)
        if intent is None or intent.order_uuid is None:
            return None
        return await self._till.find(intent.order_uuid, None, None)

    async def _work(self, order_id: str, rows: Sequence[InboxRow]) -> int:
        hints = Hints(
            next((row.session_hint for row in rows if row.session_hint), None),
            next((row.payment_hint for row in rows if row.payment_hint), None),
        )
        try:
            state = await self._looker.look(order_id, hints)
        except Fault as fault:
            for row in rows:
                await self._later(row, fault)
            return 0
        for row in rows:
            await self._till.end_event(row.event_id, state)
        return len(rows)

    async def _later(self, row: InboxRow, fault: Fault) -> None:
        wait_s = min(_LONGEST_WAIT_S, 2 ** min(row.attempts, 10))
        _LOG.warning("event %s waits %d s: %s", row.event_id, wait_s, fault)
        await self._till.end_event(row.event_id, str(fault)[:200], wait_s)
