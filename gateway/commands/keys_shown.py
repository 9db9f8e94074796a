"""Keys as a person reads them: one in lines, several in a table.

Refuses to leave anything out that the admin API tells of one key; `--json` has the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = ("KEY ID", "LAST", "TIER", "STATUS", "TRIAL", "PAID", "CREATED", "OWNER")


def words_of_key(document: Mapping[str, Any]) -> str:
    """A line for each thing that the answer tells."""
    lines = []
    if "api_key" in document:
        lines.append(("key", f"{document['api_key']}   (shown this once)"))
    lines.append(("id", document["key_id"]))
    for name in ("last_characters", "owner", "tier", "status", "created_at", "open_requests"):
        if document.get(name) not in (None, ""):
            lines.append((name.replace("_", " "), str(document[name])))
    for bucket, tokens in document["balance"].items():
        lines.append((bucket, "unknown" if tokens is None else f"{tokens:,}"))
    for product, limits in document.get("limits", {}).items():
        told = ", ".join(
            f"{name} {number:,}" for name, number in limits.items() if number is not None
        )
        lines.append(("own limits", f"{product}: {told or 'none'}"))
    return "\n".join(f"{name:<16} {text}" for name, text in lines)


def table_of_keys(items: Sequence[Mapping[str, Any]]) -> str:
    """A table, the newest key first; a sentence when there is none."""
    if not items:
        return "no key is found"
    rows = [_COLUMNS, *(_row(item) for item in items)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(item: Mapping[str, Any]) -> tuple[str, ...]:
    balance = item["balance"]
    return (
        item["key_id"],
        item["last_characters"],
        item["tier"],
        item["status"],
        f"{balance['trial']:,}",
        f"{balance['paid']:,}",
        item["created_at"][:16].replace("T", " "),
        item["owner"],
    )
