"""Verifies a usage export against the digests of closed days; nothing else has to be trusted.

Refuses to stop at the first difference: each is one sentence. Reads the export once, line by line.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.ledger.digests import (
    SEPARATOR,
    ClosedDay,
    KeyDay,
    day_digest,
    link,
    root_of,
    seed,
)


@dataclass(slots=True)
class Verdict:
    """What was found: it holds iff `differences` is empty. Tokens are those of proven days."""

    differences: list[str] = field(default_factory=list)
    days: int = 0
    lines: int = 0
    tokens: int = 0
    lines_not_closed: int = 0


def verify(
    key_id: int,
    lines: Iterable[str],
    key_days: Sequence[KeyDay],
    published: Sequence[ClosedDay],
) -> Verdict:
    """Compare canonical lines with the days of their key, and those with what was published."""
    verdict = Verdict()
    by_day = _chained(published, verdict)
    days = sorted(key_days, key=lambda each: each.upto_seq)
    for before, after in pairwise(days):
        if (after.previous, after.after_seq) != (before.digest, before.upto_seq):
            verdict.differences.append(f"{after.day} does not follow {before.day}")
    rest = _Lines(lines, verdict)
    for day in days:
        _check_day(key_id, day, rest, verdict)
        _check_place(day, by_day, verdict)
    _check_rest(rest, max(by_day, default=""), verdict)
    return verdict


class _Lines:
    """Lines in the order of the file, with one of foresight."""

    def __init__(self, lines: Iterable[str], verdict: Verdict) -> None:
        self._lines = iter(lines)
        self._verdict = verdict
        self._last_seq = 0
        self._next: tuple[int, str] | None = None

    def take_upto(self, upto_seq: int | None) -> tuple[int, str] | None:
        """The next line, if it belongs up to there."""
        while self._next is None:
            text = next(self._lines, None)
            if text is None:
                return None
            number = text.partition(SEPARATOR)[0]
            seq = int(number) if number.isascii() and number.isdigit() else 0
            if seq <= self._last_seq:
                self._verdict.differences.append(
                    f"line {number!r} after line {self._last_seq} is twice or out of order"
                )
                continue
            self._last_seq = seq
            self._next = seq, text
        if upto_seq is not None and self._next[0] > upto_seq:
            return None
        taken, self._next = self._next, None
        return taken


def _check_day(key_id: int, day: KeyDay, rest: _Lines, verdict: Verdict) -> None:
    digest, count, tokens = seed(key_id, day.day, day.previous), 0, 0
    while (found := rest.take_upto(day.upto_seq)) is not None:
        seq, text = found
        if seq <= day.after_seq:
            verdict.differences.append(f"line {seq} belongs to no day that was given")
            continue
        digest = link(digest, text)
        count += 1
        tokens += _tokens(text)
    if (count, tokens) != (day.lines, day.tokens):
        verdict.differences.append(
            f"{day.day}: {count} lines with {tokens} tokens instead of "
            f"{day.lines} lines with {day.tokens} tokens"
        )
    elif digest != day.digest:
        verdict.differences.append(f"{day.day}: the lines are not those that were closed")
    else:
        verdict.days += 1
        verdict.lines += count
        verdict.tokens += tokens


def _check_rest(rest: _Lines, closed_upto: str, verdict: Verdict) -> None:
    """Lines above all days that were given may only be of days that nobody has closed yet.

    Else whoever leaves days out could have any lines taken for proved.
    """
    left_out: Counter[str] = Counter()
    while (found := rest.take_upto(None)) is not None:
        day = found[1].rpartition(SEPARATOR)[2][: len("2026-11-20")]
        if day <= closed_upto:
            left_out[day] += 1
        else:
            verdict.lines_not_closed += 1
    for day, count in sorted(left_out.items()):
        verdict.differences.append(
            f"{day}: {count} lines of this day, which is closed, are in no day that was given"
        )


def _check_place(day: KeyDay, by_day: Mapping[str, ClosedDay], verdict: Verdict) -> None:
    told = by_day.get(day.day)
    if told is None:
        verdict.differences.append(f"{day.day} is not among the published days")
    elif root_of(day.digest, day.path) != told.root:
        verdict.differences.append(f"{day.day}: the key's digest is not part of the published one")


def _chained(published: Sequence[ClosedDay], verdict: Verdict) -> dict[str, ClosedDay]:
    days = sorted(published, key=lambda each: each.day)
    for day in days:
        if day_digest(day.day, day.previous, day.root) != day.digest:
            verdict.differences.append(f"{day.day}: the published digest is not that of its root")
    for before, after in pairwise(days):
        if after.previous != before.digest:
            verdict.differences.append(f"the published {after.day} does not follow {before.day}")
    return {day.day: day for day in days}


def _tokens(text: str) -> int:
    fields = text.split(SEPARATOR)
    number = fields[6] if len(fields) > 6 else ""
    return int(number) if number.isascii() and number.removeprefix("-").isdigit() else 0
