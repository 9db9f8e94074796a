"""Delivers events to webhook endpoints, signed and with retries, or as badly as it is told to.

Delivers one at a time, in the order that events are due: what a test asks for is what happens.
Whatever answers 2xx has got the event; else it is sent again after each pause of RETRY_S.
"""

import asyncio
import contextlib
import json
import random
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch

import aiohttp

from tests.stripe_standin.errors import Obj
from tests.stripe_standin.signing import signature
from tests.stripe_standin.world import World

RETRY_S = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_DEADLINE_S = 10.0
# What an endpoint that cannot be reached is noted as.
UNREACHED = 0


@dataclass(slots=True)
class Endpoint:
    """Where events go, and with which secrets (two while one is being replaced)."""

    url: str
    secrets: list[str]
    enabled: list[str] = field(default_factory=lambda: ["*"])


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery and what came of it: the status, UNREACHED when there was none."""

    event_id: str
    kind: str
    url: str
    status: int


@dataclass(slots=True)
class _Parcel:
    event: Obj
    endpoint: Endpoint
    due: float
    tries: int = 0


class Courier:
    """The deliveries of one stand-in. `attempts` is what has been tried, oldest first."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._parcels: list[_Parcel] = []
        self._changed = asyncio.Event()
        self._client: aiohttp.ClientSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()
        self.endpoints: list[Endpoint] = []
        self.attempts: list[Attempt] = []
        self.held: list[Obj] = []
        self.lost: list[Obj] = []
        self.retry_s: tuple[float, ...] = RETRY_S
        self.holding = False
        self.copies = 1
        self.delay_s = 0.0
        self.shuffle_s = 0.0
        self._losing: list[tuple[str, int]] = []
        world.on_event = self.take

    async def start(self) -> None:
        """Begin to deliver."""
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_DEADLINE_S))
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Deliver nothing more."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._client is not None:
            await self._client.close()

    def hold(self) -> None:
        """Keep every event back until `release` or `deliver`."""
        self.holding = True

    def release(self) -> None:
        """Deliver what was held back, oldest first, and hold no more."""
        self.holding = False
        held, self.held = self.held, []
        for event in held:
            self._post(event)

    def lose(self, kind: str = "*", times: int = 1) -> None:
        """Never deliver the next events of this kind (`charge.*`)."""
        self._losing.append((kind, times))

    def reset(self) -> None:
        """Every event once, at once, in order."""
        self.holding, self.copies, self.delay_s, self.shuffle_s = False, 1, 0.0, 0.0
        self._losing.clear()
        self.release()

    def take(self, event: Obj) -> None:
        """An event has happened."""
        if self._is_lost(event):
            self.lost.append(event)
        elif self.holding:
            self.held.append(event)
        else:
            self._post(event)

    async def deliver(
        self, event: Obj, *, secrets: list[str] | None = None, at: int | None = None
    ) -> int:
        """Send it once, now, to every endpoint, held or not; the last endpoint's status.

        With other secrets it is forged; with another time it is old.
        """
        self.held = [one for one in self.held if one["id"] != event["id"]]
        status = UNREACHED
        for endpoint in self.endpoints:
            status = await self._send(event, endpoint, secrets or endpoint.secrets, at)
        return status

    async def idle(self, within_s: float = 60.0) -> None:
        """Wait until nothing is on its way (retries included); TimeoutError if it takes longer."""
        async with asyncio.timeout(within_s):
            await self._quiet.wait()

    @property
    def waiting(self) -> int:
        """How many deliveries are due later."""
        return len(self._parcels)

    def _is_lost(self, event: Obj) -> bool:
        for index, (kind, times) in enumerate(self._losing):
            if fnmatch(event["type"], kind):
                self._losing[index : index + 1] = [(kind, times - 1)] if times > 1 else []
                return True
        return False

    def _post(self, event: Obj) -> None:
        for endpoint in self.endpoints:
            if any(fnmatch(event["type"], kind) for kind in endpoint.enabled):
                for _ in range(self.copies):
                    late = self.delay_s + random.uniform(0, self.shuffle_s)
                    self._parcels.append(_Parcel(event, endpoint, time.monotonic() + late))
                    self._quiet.clear()
        self._changed.set()

    async def _run(self) -> None:
        while True:
            parcel = min(self._parcels, key=lambda one: one.due, default=None)
            wait_s = None if parcel is None else max(0.0, parcel.due - time.monotonic())
            if parcel is not None and wait_s == 0:
                await self._attempt(parcel)
                continue
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait_s)

    async def _attempt(self, parcel: _Parcel) -> None:
        self._parcels.remove(parcel)
        status = await self._send(parcel.event, parcel.endpoint, parcel.endpoint.secrets)
        if not 200 <= status < 300 and parcel.tries < len(self.retry_s):
            parcel.due = time.monotonic() + self.retry_s[parcel.tries]
            parcel.tries += 1
            self._parcels.append(parcel)
        elif not self._parcels:
            self._quiet.set()

    async def _send(
        self, event: Obj, endpoint: Endpoint, secrets: list[str], at: int | None = None
    ) -> int:
        assert self._client is not None, "not started"
        body = json.dumps(event, indent=2, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, secrets, at or int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        status = UNREACHED
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._client.post(endpoint.url, data=body, headers=headers) as reply:
                status = reply.status
        self.attempts.append(Attempt(event["id"], event["type"], endpoint.url, status))
        return status
