"""Counting, sharing and showing the numbers of several processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import Telemetry
from gateway.telemetry import series as series_module
from gateway.telemetry.exposition import exposition
from gateway.telemetry.series import Family, Named, Spread, Tally
from gateway.telemetry.snapshots import ENDED, Publisher, read
from tests.embedded.processes import ROOT

Samples = Mapping[str, float]


def _samples(own: Telemetry, folder: Path, name: str = "") -> Samples:
    text = exposition(own, folder, name).decode()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _publish(publisher: Publisher, telemetry: Telemetry) -> None:
    publisher.publish(telemetry.counts(), telemetry.standings())


def test_a_spread_counts_each_value_up_to_and_with_its_bound() -> None:
    spread = Spread((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5):
        spread.observe(value)
    assert spread.counts == [2, 2, 1]
    assert spread.sum == 7.5


def test_a_total_kept_elsewhere_never_falls() -> None:
    tally = Tally()
    for value in (5, 3, 9):
        tally.total(value)
    assert tally.value == 9


def test_series_beyond_the_bound_are_counted_as_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "MAX_SERIES", 3)
    family = Family(Named("x", "text", ("a", "b")), Tally)
    for number in range(50):
        family.labels(str(number), "y").inc()
    found = dict(family.series())
    assert len(found) == 4
    assert found["other\nother"].value == 47


def test_counting_costs_less_than_three_microseconds_a_request() -> None:
    telemetry = Telemetry()

    def request() -> None:
        telemetry.open_requests.inc()
        telemetry.admission("reader", "ADMITTED")
        telemetry.finished("reader", "complete", 7, 0.01)
        telemetry.open_requests.dec()

    best_us = 1e9
    for _ in range(20):
        begun_ns = time.perf_counter_ns()
        for _ in range(500):
            request()
        best_us = min(best_us, (time.perf_counter_ns() - begun_ns) / 500 / 1_000)
    # The library's shared values took 6 us for the same.
    assert best_us < 3


def test_numbers_of_the_living_are_added_and_those_of_the_dead_kept(tmp_path: Path) -> None:
    own, other = Telemetry(), Telemetry()
    publisher = Publisher(tmp_path)
    for telemetry in (own, other):
        telemetry.finished("reader", "complete", 5, 0.02)
        telemetry.open_requests.inc(2)
    _publish(publisher, other)
    requests = "sluice_requests_total[('outcome', 'complete'), ('product', 'reader')]"
    bucket = "sluice_request_seconds_bucket[('le', '0.025'), ('product', 'reader')]"
    for dead in (False, True, True):
        if dead:
            publisher.close() if (tmp_path / f"{publisher.name}.lock").exists() else None
        samples = _samples(own, tmp_path)
        assert samples[requests] == samples[bucket] == 2
        assert samples["sluice_open_requests[]"] == (2 if dead else 4)
    assert [path.name for path in tmp_path.glob("*.json")] == [ENDED]
    assert list(tmp_path.glob("*-*.lock")) == []


def test_of_what_was_found_the_last_word_of_any_process_counts(tmp_path: Path) -> None:
    own, other = Telemetry(), Telemetry()
    publisher = Publisher(tmp_path)
    found = "sluice_reconcile_differences[('check', 'x'), ('scope', 'today')]"
    for value, at_s, telemetry in ((3, 100.0, own), (0, 200.0, other), (7, 300.0, own)):
        telemetry.reconcile_differences.labels("x", "today").set(value, at_s)
        publisher.publish(other.counts(), other.standings(), other.newest())
        assert _samples(own, tmp_path)[found] == value
    assert "sluice_canary_revocation_seconds[]" not in _samples(own, tmp_path)
    publisher.close()


def test_ones_own_file_is_not_counted_beside_the_live_numbers(tmp_path: Path) -> None:
    own, publisher = Telemetry(), Publisher(tmp_path)
    own.shipped.inc(3)
    _publish(publisher, own)
    own.shipped.inc(1)
    assert _samples(own, tmp_path, publisher.name)["sluice_shipped_outcomes_total[]"] == 4
    publisher.close()


def test_a_crash_between_folding_and_removing_counts_nothing_twice(tmp_path: Path) -> None:
    telemetry, publisher = Telemetry(), Publisher(tmp_path)
    telemetry.shipped.inc(3)
    _publish(publisher, telemetry)
    publisher.close()
    left = tmp_path / f"{publisher.name}.json"
    content = left.read_bytes()
    for _ in range(3):
        read(tmp_path, "")
        # As if the process that folded it had been killed before it could remove the file.
        left.write_bytes(content)
    assert _samples(Telemetry(), tmp_path)["sluice_shipped_outcomes_total[]"] == 3


def test_damaged_and_foreign_files_are_left_out(tmp_path: Path) -> None:
    publisher = Publisher(tmp_path)
    (tmp_path / f"{publisher.name}.json").write_bytes(b'{"counts": {"sluice_ship')
    (tmp_path / "1-dead.json").write_bytes(b"[]")
    (tmp_path / ENDED).write_bytes(b"\xff")
    (tmp_path / "notes.txt").write_text("x")
    assert _samples(Telemetry(), tmp_path)["sluice_shipped_outcomes_total[]"] == 0
    publisher.close()


def test_numbers_of_another_version_are_not_mixed_in(tmp_path: Path) -> None:
    own, publisher = Telemetry(), Publisher(tmp_path)
    own.latency.labels("reader").observe(0.001)
    publisher.publish({"sluice_request_seconds": {"reader": [1.0, 1, 1]}, "gone": {"": [1]}}, {})
    samples = _samples(own, tmp_path)
    assert samples["sluice_request_seconds_count[('product', 'reader')]"] == 1
    publisher.close()


def test_a_killed_process_is_dead_at_once_and_a_standing_one_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.telemetry.snapshots.SILENT_S", 60.0)
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from gateway.telemetry.snapshots import Publisher\n"
        "publisher = Publisher(Path(sys.argv[1]))\n"
        "publisher.publish({'a': {'': [1]}}, {'b': {'': [1]}})\n"
        "print('told', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"told\n"
        first, ended = read(tmp_path, "")
        assert (first.levels, first.silent, ended.counts) == ({"b": {"": [1]}}, False, {})
        monkeypatch.setattr("gateway.telemetry.snapshots.SILENT_S", 0.05)
        time.sleep(0.1)
        assert read(tmp_path, "")[0].silent
        process.send_signal(signal.SIGKILL)
        process.wait()
        (ended,) = read(tmp_path, "")
        assert (ended.counts, ended.levels) == ({"a": {"": [1]}}, {})


def _fold(folder: str, rounds: int) -> None:
    for _ in range(rounds):
        read(Path(folder), "")


def test_several_readers_at_once_fold_each_process_once(tmp_path: Path) -> None:
    for _ in range(40):
        telemetry, publisher = Telemetry(), Publisher(tmp_path)
        telemetry.shipped.inc(1)
        _publish(publisher, telemetry)
        publisher.close()
    context = multiprocessing.get_context("spawn")
    readers = [context.Process(target=_fold, args=(str(tmp_path), 30)) for _ in range(3)]
    for each in readers:
        each.start()
    for each in readers:
        each.join()
        assert each.exitcode == 0
    assert _samples(Telemetry(), tmp_path)["sluice_shipped_outcomes_total[]"] == 40


def test_a_folder_that_cannot_be_written_still_shows_ones_own(tmp_path: Path) -> None:
    own = Telemetry()
    own.shipped.inc(2)
    publisher = Publisher(tmp_path / "gone")
    for path in publisher.folder.iterdir():
        path.unlink()
    publisher.folder.rmdir()
    with pytest.raises(FileNotFoundError):
        _publish(publisher, own)
    assert _samples(own, publisher.folder)["sluice_shipped_outcomes_total[]"] == 2
    publisher.close()
