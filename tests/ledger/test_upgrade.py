"""An upgrade needs no pause: before, in and after it both versions work on the same schema."""

import re
from pathlib import Path

import pytest

from gateway.postgres import Postgres, PostgresRefused
from gateway.sql import load_queries, migration_files

# Every named query of the version before this one, as it was released.
EARLIER = Path(__file__).with_name("queries_of_earlier_version.sql")
TAKES_AWAY = re.compile(
    r"^\s*(drop table|drop function|alter table \w+ (drop column|rename)|alter table \w+ alter "
    r"column \w+ (type|set not null))",
    re.IGNORECASE | re.MULTILINE,
)
# A function whose successor answers the same calls.
SUCCEEDED = {"0006_pre_transfer_idempotency.sql": ["drop function"]}


def _earlier(folder: Path) -> dict[str, str]:
    (folder / "earlier.sql").write_text(EARLIER.read_text(encoding="utf-8"))
    return dict(load_queries(folder))


async def test_every_query_of_the_earlier_version_runs_on_the_schema_of_this_one(
    database: str, tmp_path: Path
) -> None:
    """While its processes drain they ask as they always did."""
    postgres, refused = Postgres(database, command_deadline_ms=5_000), {}
    queries = _earlier(tmp_path)
    assert len(queries) > 20
    for name, sql in queries.items():
        try:
            await postgres.rows(f"prepare {name}_of_earlier as {sql}")
        except PostgresRefused as fault:
            refused[name] = str(fault)
    await postgres.close()
    assert refused == {}


@pytest.mark.parametrize("path", migration_files(), ids=lambda path: path.stem)
def test_what_comes_before_a_deploy_takes_nothing_away(path: Path) -> None:
    """Taking away is for post, when no earlier process runs any more."""
    found = [m[1].lower() for m in TAKES_AWAY.finditer(path.read_text(encoding="utf-8"))]
    assert "_post_" in path.name or found == SUCCEEDED.get(path.name, [])
