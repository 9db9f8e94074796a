"""A customer proves his export with the digests, and every change of either is found."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.__main__ import main
from gateway.keys.format import format_key_id
from gateway.ledger.book import Book
from gateway.ledger.closing import Exports
from gateway.ledger.digests import NOTHING, ClosedDay, KeyDay
from gateway.ledger.export_form import (
    Form,
    closed_days_document,
    encode,
    header,
    key_days_document,
)
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.verify import verify
from tests.ledger.closed import TODAY, Closed, lines_of, tokens_of
from tests.ledger.conftest import differences
from tests.ledger.events import batch, charge, request_id


async def test_customer_proves_his_export(closed: Closed, reconciler: Reconciler) -> None:
    verdict = verify(closed.key_id, closed.lines, closed.days, closed.published)
    assert verdict.differences == []
    assert (verdict.days, verdict.lines_not_closed) == (3, 0)
    assert verdict.lines == len(closed.lines) == 11
    assert verdict.tokens == tokens_of(closed.lines)
    assert len(closed.days[0].path) == 2
    assert closed.published[0].previous == closed.days[0].previous == NOTHING
    kinds = [line.split("\t")[1] for line in closed.lines]
    assert kinds.count("refund") == 2
    assert differences(await reconciler.run()) == {}


async def test_export_of_some_days_is_whole_and_proves_itself(
    closed: Closed, exports: Exports
) -> None:
    span = (TODAY - timedelta(days=2), TODAY - timedelta(days=2))
    lines = await lines_of(exports, closed.key_id, span)
    days = await exports.key_days(closed.key_id, *span)
    assert verify(closed.key_id, lines, days, closed.published).differences == []
    assert lines == [line for line in closed.lines if line in lines]
    assert 0 < len(lines) < len(closed.lines)


async def test_lines_of_today_are_exported_and_counted_as_not_closed(
    closed: Closed, book: Book, exports: Exports
) -> None:
    await book.post_outcomes(batch(charge(request_id(900), closed.key_id, 3, 90)))
    lines = await lines_of(exports, closed.key_id)
    verdict = verify(closed.key_id, lines, closed.days, closed.published)
    assert (verdict.differences, verdict.lines_not_closed) == ([], 1)
    assert len(await lines_of(exports, closed.key_id, (TODAY, TODAY))) == 1


async def test_a_closed_day_whose_digest_is_held_back_proves_nothing(closed: Closed) -> None:
    for kept in range(len(closed.days)):
        verdict = verify(closed.key_id, closed.lines, closed.days[:kept], closed.published)
        assert verdict.differences != []
        assert verdict.lines_not_closed == 0


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_every_change_of_the_export_is_found(closed: Closed, data: st.DataObject) -> None:
    """One character of one line, another order, a line left out or twice."""
    lines = list(closed.lines)
    place = data.draw(st.integers(0, len(lines) - 1))
    what = data.draw(st.sampled_from(("character", "swap", "omit", "twice", "cut")))
    if what == "character":
        at = data.draw(st.integers(0, len(lines[place]) - 1))
        other = data.draw(st.sampled_from("0189az \t").filter(lambda c: c != lines[place][at]))
        lines[place] = lines[place][:at] + other + lines[place][at + 1 :]
    elif what == "swap":
        other_place = data.draw(st.integers(0, len(lines) - 1).filter(lambda p: p != place))
        lines[place], lines[other_place] = lines[other_place], lines[place]
    elif what == "omit":
        del lines[place]
    elif what == "cut":
        del lines[place:]
    else:
        lines.insert(data.draw(st.integers(0, len(lines))), lines[place])
    assert closed.differences(lines) != []


async def test_every_change_of_the_digests_is_found(closed: Closed) -> None:
    def found(days: list[KeyDay], published: list[ClosedDay]) -> bool:
        return bool(verify(closed.key_id, closed.lines, days, published).differences)

    days, published = closed.days, closed.published
    assert not found(days, published)
    other = bytes(31) + b"\x01"
    for changed in (
        replace(days[1], digest=other),
        replace(days[1], previous=other),
        replace(days[1], path=days[0].path),
        replace(days[1], tokens=days[1].tokens + 1),
        replace(days[1], lines=days[1].lines - 1),
        replace(days[1], day=days[2].day),
    ):
        assert found([days[0], changed, days[2]], published)
    for rewritten in (
        replace(published[1], root=other),
        replace(published[1], previous=other),
        replace(published[1], digest=other),
    ):
        assert found(days, [published[0], rewritten, *published[2:]])
    assert found(days, published[1:])
    assert verify(closed.key_id + 1, closed.lines, days, published).differences


@pytest.mark.parametrize("form", list(Form))
async def test_command_proves_an_export_and_names_what_was_changed(
    closed: Closed, form: Form, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export, days, published = (tmp_path / name for name in ("export", "days", "published"))
    content = header(form) + encode(form, closed.lines)
    export.write_bytes(content)
    key_id = format_key_id(closed.key_id)
    days.write_bytes(orjson.dumps(key_days_document(key_id, closed.days)))
    published.write_bytes(orjson.dumps(closed_days_document(closed.published)))
    words = ["verify-export", str(export), "--days", str(days), "--published", str(published)]
    assert await asyncio.to_thread(main, words) == 0
    assert f"{key_id}: 3 days proved, 11 lines, {tokens_of(closed.lines)} tokens" in (
        capsys.readouterr().out
    )
    for changed, complaint in (
        (content.replace(b"tokens of the input", b"tokens of the inpuT", 1), "not those that were"),
        (content.rstrip().rpartition(b"\n")[0] + b"\n", "3 lines with"),
        (content.replace(b"charge", b"\xff\xfe", 1), "line"),
        (b"%PDF-1.7", "neither JSON lines nor CSV"),
        (b"", "0 lines with 0 tokens"),
    ):
        export.write_bytes(changed)
        assert await asyncio.to_thread(main, words) == 1
        told = capsys.readouterr()
        assert complaint in told.out + told.err, told
    export.write_bytes(content)
    for damaged in (days, published):
        kept = damaged.read_bytes()
        for wrong in (kept[: len(kept) // 2], b"[]", b'{"key_id": "k", "items": 7}', b"{}"):
            damaged.write_bytes(wrong)
            assert await asyncio.to_thread(main, words) == 1
            complaint = capsys.readouterr().err
            assert f"{damaged}: these are no " in complaint
            assert "Error" not in complaint
        damaged.write_bytes(kept)
    assert await asyncio.to_thread(main, [*words, "--json"]) == 0
    assert '"ok": true' in capsys.readouterr().out
