"""The canary: an own customer who asks every product for a little, and checks what he is charged.

1. Each round, through the public door: every product answers, what it reports is what is charged,
   by the reply's head and by /v1/requests/{id}; a page that fails is free.
2. Now and then with a key of its own: a limit of one request a minute lets one through and refuses
   the second, and a revoked key is refused; how long that takes is measured.
3. What was seen is noted by the hour and shown in the metrics.

Refuses to disturb: one request at a time, each with an end, none before the front door is open.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.control.canary_door import Answer, PublicDoor
from gateway.control.canary_keys import CanaryKeys
from gateway.control.canary_trials import CHEAP, FAILING, Trial, trials
from gateway.ledger.canary import CanaryLog, Sample
from gateway.telemetry import Telemetry
from gateway.units import MS_PER_S

_LOG = logging.getLogger("sluice.canary")
FREE: Final = "a failure is free"
LIMIT: Final = "limits limit"
REVOCATION: Final = "revocation"
NOT_DEPLOYED: Final = "not deployed"
_ABSENT: Final = "SERVICE_NOT_DEPLOYED"
_FIRST_AFTER_S: Final = 30.0
_REVOKED_WITHIN_S: Final = 5.0
_POLL_S: Final = 0.005


@dataclass(frozen=True, slots=True)
class Plan:
    """What is checked how often. `every_ms` 0: never. `page` is what the reader reads."""

    products: Collection[str]
    page: str
    every_ms: int
    keys_every_ms: int
    first_after_s: float = _FIRST_AFTER_S


class Canary:
    """Runs rounds when they are due."""

    def __init__(
        self, plan: Plan, door: PublicDoor, keys: CanaryKeys, log: CanaryLog, telemetry: Telemetry
    ) -> None:
        self._plan = plan
        self._door = door
        self._keys = keys
        self._log = log
        self._telemetry = telemetry
        self._trials = [each for each in trials() if each.product in plan.products]
        self._next_s = time.monotonic() + plan.first_after_s
        self._next_keys_s = self._next_s
        self._opened = False
        self._deployed: set[str] = set()

    async def run_once(self) -> int:
        """Run a round if one is due; 0, so that nothing follows it at once."""
        now_s = time.monotonic()
        if not self._plan.every_ms or now_s < self._next_s:
            return 0
        self._opened = self._opened or await self._door.open()
        if not self._opened:
            return 0
        self._next_s = now_s + self._plan.every_ms / MS_PER_S
        samples = await self.round()
        if now_s >= self._next_keys_s:
            self._next_keys_s = now_s + self._plan.keys_every_ms / MS_PER_S
            samples += await self.round_of_keys()
        self._show(samples)
        await self._log.note(samples)
        return 0

    async def round(self) -> list[Sample]:
        """Every product once, then a page that fails."""
        key, _ = await self._keys.own()
        samples, classifier = [], ""
        for trial in self._trials:
            answer = await self._send(trial, key, classifier)
            if trial.product == "train":
                classifier = str(answer.document.get("classifier_id", ""))
            samples.append(await self._judged(trial, answer, key))
        await self._forget_classifiers(key)
        self._deployed = {each.subject for each in samples if each.ok is not None}
        if FAILING.product in self._plan.products:
            samples.append(await self._failing(key))
        return samples

    async def round_of_keys(self) -> list[Sample]:
        """Keys of this round's own: one limited to a request a minute, one that is revoked."""
        product = next((name for name in CHEAP if name in self._deployed), None)
        trial = next((each for each in self._trials if each.product == product), None)
        if trial is None:
            return [Sample(name, None, 0, NOT_DEPLOYED) for name in (LIMIT, REVOCATION)]
        key = await self._keys.throw_away({trial.product: {"rpm": 1}})
        first, second = await self._send(trial, key), await self._send(trial, key)
        told = f"{trial.product}: the first {_told(first)}, the second {_told(second)}"
        right = first.status in trial.right and second.status == 429
        limit = Sample(LIMIT, right, round(second.seconds * MS_PER_S), "" if right else told)
        # Another one: a node refuses a key at its limit by itself, also when it is revoked by now.
        return [limit, await self._revoke(trial, await self._keys.throw_away({}))]

    async def _send(self, trial: Trial, key: str, classifier: str = "") -> Answer:
        return await self._door.ask(
            trial.method,
            trial.target(self._plan.page),
            key,
            body=trial.content(classifier),
            headers=trial.headers,
            deadline_s=trial.deadline_s,
        )

    async def _judged(self, trial: Trial, answer: Answer, key: str) -> Sample:
        ms = round(answer.seconds * MS_PER_S)
        if answer.says(_ABSENT):
            return Sample(trial.product, None, 0, NOT_DEPLOYED)
        wrong = f"it {_told(answer)}"
        if answer.status in trial.right:
            wrong = _wrong_charge(answer, await self._ending(answer, key), free=trial.free)
        return Sample(trial.product, not wrong, ms, wrong)

    async def _failing(self, key: str) -> Sample:
        answer = await self._send(FAILING, key)
        ms = round(answer.seconds * MS_PER_S)
        if answer.says(_ABSENT):
            return Sample(FREE, None, 0, NOT_DEPLOYED)
        if answer.status < 400:
            return Sample(FREE, False, ms, f"a page that is not there {_told(answer)}")
        row = await self._ending(answer, key)
        if row is None:
            return Sample(FREE, False, ms, "its outcome is not in the ledger")
        charged = row.get("charged")
        return Sample(FREE, charged == 0, ms, "" if charged == 0 else f"charged {charged}")

    async def _ending(self, answer: Answer, key: str) -> Mapping[str, Any] | None:
        request_id = answer.headers.get("x-request-id", "")
        return await self._door.request(key, request_id) if request_id else None

    async def _revoke(self, trial: Trial, key: str) -> Sample:
        """From the call to revoke until the door refuses the key."""
        clock_s = asyncio.get_running_loop().time
        used = await self._send(trial, key)
        if used.status not in trial.right:
            return Sample(REVOCATION, False, 0, f"a fresh key {_told(used)}")
        begun_s = clock_s()
        revoked = await self._door.ask("DELETE", "/v1/keys/me", key)
        if revoked.status not in (200, 202):
            return Sample(REVOCATION, False, 0, f"revoking it {_told(revoked)}")
        while (answer := await self._send(trial, key)).status != 401:
            if clock_s() > begun_s + _REVOKED_WITHIN_S:
                return Sample(REVOCATION, False, 0, f"a revoked key {_told(answer)}")
            await asyncio.sleep(_POLL_S)
        seconds = clock_s() - begun_s
        self._telemetry.canary_revocation.labels().set(seconds, time.time())
        return Sample(REVOCATION, True, round(seconds * MS_PER_S))

    async def _forget_classifiers(self, key: str) -> None:
        """What it has trained, this round or in one that was cut off."""
        if not {"train", "classify_few_shot"} & set(self._plan.products):
            return
        answer = await self._door.ask("GET", "/v1/classifiers", key)
        try:
            listed = orjson.loads(answer.body) if answer.status == 200 else []
        except orjson.JSONDecodeError:
            return
        for each in listed if isinstance(listed, list) else []:
            await self._door.ask("DELETE", f"/v1/classifiers/{each['classifier_id']}", key)

    def _show(self, samples: list[Sample]) -> None:
        now_s = time.time()
        for sample in samples:
            if sample.ok is None:
                continue
            telemetry, subject = self._telemetry, sample.subject
            telemetry.canary_ok.labels(subject).set(int(sample.ok), now_s)
            telemetry.canary_seconds.labels(subject).set(sample.ms / MS_PER_S, now_s)
            if sample.ok:
                telemetry.canary_success_time.labels(subject).set(int(now_s), now_s)
            else:
                _LOG.error("the canary: %s: %s", subject, sample.text)


def _told(answer: Answer) -> str:
    return f"was answered with {answer.status}" if answer.status else f"had none: {answer.fault}"


def _wrong_charge(answer: Answer, row: Mapping[str, Any] | None, *, free: bool) -> str:
    """What is wrong with what was charged; empty if it is right."""
    if row is None:
        return "its outcome is not in the ledger"
    charged, reported = row.get("charged"), row.get("reported")
    told = answer.headers.get("x-usage-tokens")
    if told is not None and told != str(charged):
        return f"the reply said {told} and {charged} were charged"
    if charged not in (0, reported):
        return f"{reported} were reported and {charged} were charged"
    if free:
        return f"{charged} were charged" if charged else ""
    if charged == 0 and reported and row.get("outcome") in ("complete", "complete_unreported"):
        return f"{reported} were reported and nothing was charged"
    return ""
