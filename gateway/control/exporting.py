"""The usage export and the digests of closed days: for the owner, for an operator, for everybody.

Refuses to gather an export in memory: it is read page by page as fast as its reader takes it.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final

from gateway.control.call import Call, Reply, Stream
from gateway.control.desk_parts import DeskParts
from gateway.control.owner import settled
from gateway.edge import refusals
from gateway.errors import Problem
from gateway.keys.format import format_key_id
from gateway.ledger.closing import MAX_DAYS, Exports
from gateway.ledger.export_form import (
    Form,
    closed_days_document,
    encode,
    header,
    key_days_document,
)

Query = Mapping[str, str]
Span = tuple[date, date]
_BEGINNING: Final = date(1970, 1, 1)


async def export(parts: DeskParts, call: Call) -> Stream | Problem:
    """`GET /v1/keys/me/usage/export?from=&to=&format=csv|jsonl`."""
    assert call.key_id is not None
    await settled(parts, call.key_id)
    return export_of(parts.shelf.exports, call.key_id, call.query)


async def days(parts: DeskParts, call: Call) -> Reply | Problem:
    """`GET /v1/keys/me/usage/days?from=&to=`: the digests of the key's closed days."""
    assert call.key_id is not None
    return await days_of(parts.shelf.exports, call.key_id, call.query)


async def published(parts: DeskParts, call: Call) -> Reply | Problem:
    """`GET /v1/closed-days?from=&to=`: what anybody may keep and compare later."""
    return await published_of(parts.shelf.exports, call.query)


def export_of(exports: Exports, key_id: int, query: Query) -> Stream | Problem:
    """The lines of a key in the form that was asked for."""
    span = _span(query, None)
    if isinstance(span, Problem):
        return span
    text = query.get("format", Form.CSV)
    if text not in tuple(Form):
        return refusals.invalid_query("format", "must be csv or jsonl")
    form = Form(text)
    name = f"usage-{format_key_id(key_id)}.{form}"
    return Stream(
        form.content_type,
        {"content-disposition": f'attachment; filename="{name}"'},
        _encoded(exports, key_id, span, form),
    )


async def _encoded(exports: Exports, key_id: int, span: Span, form: Form) -> AsyncIterator[bytes]:
    first = header(form)
    async for lines in exports.pages(key_id, *span):
        yield first + encode(form, lines)
        first = b""
    if first:
        yield first


async def days_of(exports: Exports, key_id: int, query: Query) -> Reply | Problem:
    """The digests of a key's closed days."""
    span = _span(query, MAX_DAYS)
    if isinstance(span, Problem):
        return span
    found = await exports.key_days(key_id, *span)
    return Reply(200, key_days_document(format_key_id(key_id), found))


async def published_of(exports: Exports, query: Query) -> Reply | Problem:
    """The published digests."""
    span = _span(query, MAX_DAYS)
    if isinstance(span, Problem):
        return span
    return Reply(200, closed_days_document(await exports.closed_days(*span)))


def _span(query: Query, most_days: int | None) -> Span | Problem:
    """`from` and `to`, both included: by default all there is, or the last `most_days`."""
    last = _day(query, "to", datetime.now(UTC).date())
    if isinstance(last, Problem):
        return last
    begin = _BEGINNING if most_days is None else last - timedelta(days=most_days - 1)
    first = _day(query, "from", begin)
    if isinstance(first, Problem):
        return first
    if first > last:
        return refusals.invalid_query("from", "must not be after `to`")
    if most_days is not None and (last - first).days >= most_days:
        return refusals.invalid_query("from", f"must be at most {most_days} days before `to`")
    return first, last


def _day(query: Query, name: str, default: date) -> date | Problem:
    text = query.get(name)
    if text is None:
        return default
    try:
        found = date.fromisoformat(text) if len(text) == len("2026-11-20") else None
    except ValueError:
        found = None
    if found is None or found < _BEGINNING:
        return refusals.invalid_query(name, "must be a UTC day like 2026-11-20")
    return found
