"""The worker's proofs: hourly of today, nightly of everything, each seen in the metrics."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.control.proof import FULL, RECENT
from gateway.control.rounds import Rounds
from gateway.ground import ops_parts
from gateway.oversight import oversight
from tests.control.conftest import Open
from tests.control.rig import PEPPER, Door

HOUR_S = 3_600
AT = datetime(2026, 11, 20, 1, 30, tzinfo=UTC).timestamp()


async def test_today_is_proved_every_hour_and_everything_at_night(door: Door) -> None:
    minted = await door.mint()
    await door.spend(minted["api_key"])
    await door.me(minted["api_key"])
    now_s = [AT]
    parts = ops_parts(door.node.ground)
    rounds = Rounds(parts.proof, HOUR_S * 1_000, clock_s=lambda: now_s[0])
    ran = []
    for minute in range(0, 4 * 60, 10):
        now_s[0] = AT + minute * 60
        ran.append(await rounds.run_once())
    # 1:40, 2:40, 3:40, 4:40 and 3:00.
    assert sum(ran) == 5
    shown = door.node.ground.telemetry
    for scope in (RECENT, FULL):
        assert shown.reconcile_time.labels(scope).value > 0
        assert shown.reconcile_unfinished.labels(scope).value == 0
        assert shown.reconcile_differences.labels("debits_are_credits", scope).value == 0
    assert shown.reconcile_differences.labels("debits_are_credits", FULL).at_s > 0


async def test_proofs_can_be_turned_off(door: Door) -> None:
    now_s = [AT]
    rounds = Rounds(ops_parts(door.node.ground).proof, 0, clock_s=lambda: now_s[0])
    now_s[0] += 48 * HOUR_S
    assert await rounds.run_once() == 0


async def test_the_worker_proves_closes_days_and_keeps_a_canary(door: Door) -> None:
    ground = door.node.ground
    await door.mint()
    works = {name: run for run, name, _ in oversight(ground)}
    assert set(works) == {"closing", "proof", "canary"}
    # A proof and the canary's first round come later; no day is over.
    assert [await works[name]() for name in ("closing", "proof", "canary")] == [0, 0, 0]
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    assert ground.telemetry.closed_until.labels().value == int(midnight.timestamp())


async def test_without_the_pepper_there_is_no_canary(open_door: Open, tmp_path: Path) -> None:
    async with open_door() as door:
        without = replace(door.node.ground.settings, key_pepper=None)
        ground = replace(door.node.ground, settings=without)
        assert {name for _, name, _ in oversight(ground)} == {"closing", "proof"}
        (tmp_path / "key-pepper").write_text(PEPPER)
        assert "canary" in {name for _, name, _ in oversight(ground)}
