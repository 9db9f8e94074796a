"""The named queries: each has a purpose, each is used, and each is known to PostgreSQL."""

import itertools
import re
from pathlib import Path

import pytest

from gateway.errors import ConfigurationFault
from gateway.ledger.reconcile import CHECKS
from gateway.sql import load_queries
from tests.ledger.conftest import Owner

ROOT = Path(__file__).resolve().parents[2]
SIDES = (ROOT / "gateway", ROOT / "services")


def test_every_query_is_used_and_every_used_query_exists() -> None:
    used = set(CHECKS)
    for path in itertools.chain.from_iterable(side.rglob("*.py") for side in SIDES):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"queries\[\s*\"(\w+)\"\s*\]", text))
        used |= set(re.findall(r"_(?:changed|deed)\(\s*\"(\w+)\"", text))
    assert used == set(load_queries())


async def test_every_query_is_understood_by_the_database(owner: Owner) -> None:
    queries = load_queries()
    for name, text in queries.items():
        if name == "check_frame":
            continue
        framed = queries["check_frame"].replace(":check", text) if name in CHECKS else text
        await owner.prepare(framed)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("select 1;", "without a line"),
        ("-- one: it\nselect 1;\n-- one: again\nselect 2;", "second query is named one"),
        ("-- one: it\n\n-- two: it\nselect 2;", "one is empty"),
    ],
)
def test_query_without_name_or_text_or_of_a_taken_name_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "some.sql").write_text(text)
    with pytest.raises(ConfigurationFault, match=complaint):
        load_queries(tmp_path)
