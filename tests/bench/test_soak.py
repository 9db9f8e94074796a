"""The soak's arithmetic and verdict: a leak is seen, a breath is none, a lost charge is told."""

import os
from collections import Counter
from pathlib import Path

import pytest

from ops.bench.soak_clients import SHARES, Clients, Keys, Seen
from ops.bench.soak_reckoning import Found, Journal, verdict
from ops.bench.soak_watch import (
    JUDGED_FROM_S,
    Look,
    Trend,
    bytes_below,
    look_at,
    slope_per_s,
    trend_of,
)


def looks(bytes_per_s: float, minutes: int, files: int = 20) -> list[Look]:
    """Every 5 s; memory breathes by a megabyte beside its slope."""
    breath = (0, 600_000, 1_000_000, 300_000)
    return [
        Look(n * 5.0, int(90e6 + bytes_per_s * n * 5 + breath[n % 4]), files + n % 3, 4)
        for n in range(minutes * 12)
    ]


def test_the_slope_is_that_of_least_squares() -> None:
    assert slope_per_s([(0, 1), (1, 3), (2, 5)]) == 2
    assert slope_per_s([(0, 0), (1, 0), (2, 3), (3, 3)]) == pytest.approx(1.2)
    assert slope_per_s([(0, 7)]) == slope_per_s([]) == slope_per_s([(1, 2), (1, 3)]) == 0


def test_a_leak_of_two_megabytes_in_ten_minutes_is_seen_and_a_breath_is_none() -> None:
    leaks = trend_of("gateway 0", looks(2e6 / 600, 30))
    breathes = trend_of("gateway 0", looks(0, 30))
    assert leaks.judged
    assert breathes.judged
    assert leaks.bytes_per_10_min == pytest.approx(2e6, rel=0.1)
    assert not leaks.steady
    assert breathes.steady


def test_only_the_second_half_counts_as_the_first_one_is_warming_up() -> None:
    cold = [Look(n * 5.0, 50_000_000 + n * 200_000, 20, 4) for n in range(150)]
    warm = [Look(750 + n * 5.0, 80_000_000, 20, 4) for n in range(151)]
    assert trend_of("gateway 0", cold + warm).steady


def test_a_short_run_judges_no_slope() -> None:
    trend = trend_of("gateway 0", looks(2e6 / 600, 5))
    assert trend.seconds < JUDGED_FROM_S
    lines = {line.what: line.right for line in verdict(a_run(trend))}
    assert lines["memory of a gateway process, second half"] is None


def a_run(*trends: Trend, seen: Seen | None = None) -> Found:
    return Found(minutes=30, seed=1, per_s=100, trends=list(trends), seen=seen or Seen())


def test_the_verdict_breaks_on_a_leak_a_lost_hold_and_an_unexpected_answer() -> None:
    leak = trend_of("gateway 0", looks(2e6 / 600, 30))
    wrong = a_run(leak, seen=Seen(unexpected=Counter({"whole: status 500": 1})))
    wrong.rest_s = 90.0
    broken = [line.what for line in verdict(wrong) if line.right is False]
    assert broken == [
        "memory of a gateway process, second half",
        "no hold is left after",
        "answers other than expected",
    ]
    fine = a_run(trend_of("gateway 0", looks(0, 30)))
    assert all(line.right for line in verdict(fine))


def test_the_journal_finds_what_the_ledger_has_otherwise() -> None:
    journal = Journal(["a whole 7", "b whole 7", "c whole 7", "d free 0", "e left 0", "f whole 7"])
    journal.compare("a", "charge", 7, keyed=True, given_back=False)
    journal.compare("b", "charge", 8, keyed=True, given_back=False)
    journal.compare("c", "void", 0, keyed=True, given_back=False)
    journal.compare("d", "charge", 3, keyed=True, given_back=False)
    journal.compare("e", "charge", 3, keyed=True, given_back=False)
    journal.compare("x", "charge", 3, keyed=True, given_back=False)
    journal.compare("y", "void", 0, keyed=True, given_back=False)
    journal.end(nameless=0)
    assert journal.differences == {
        "charges other than the client was told": 1,
        "whole answers without a charge": 1,
        "failures that were charged": 1,
        "charges that no client knows": 1,
        "whole answers that the ledger does not have": 1,
    }


def test_a_charge_without_a_name_is_that_of_a_client_who_left_before_he_had_one() -> None:
    journal = Journal([])
    for name in ("a", "b"):
        journal.compare(name, "charge", 1, keyed=True, given_back=False)
    journal.end(nameless=2)
    assert not journal.differences


def test_a_process_is_looked_at_as_it_is(tmp_path: Path) -> None:
    look = look_at(os.getpid(), 3.0)
    assert look.resident_bytes > 1_000_000
    assert look.descriptors > 2
    assert look.threads >= 1
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 10)
    assert bytes_below(tmp_path) == 10
    assert bytes_below(tmp_path / "none") == 0


async def test_every_kind_of_client_has_a_share_and_a_deed(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as journal:
        clients = Clients(1, Keys(("k",), "l", "p"), journal, 1)
        assert set(clients._deeds) == set(SHARES)
