"""The named queries of sql/queries, and where the schema and its migrations lie.

Refuses a query without a purpose, and two of one name. A query begins with one line:

    -- load_balance: the newest balance row of one key
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from gateway.errors import ConfigurationFault

SQL_FOLDER = Path(__file__).resolve().parent.parent / "sql"
MIGRATION_NAME = re.compile(r"^\d{4}_(pre|post)_[a-z0-9_]+\.sql$")
_HEAD = re.compile(r"^-- ([a-z][a-z0-9_]*): (\S.*)$")


def load_queries(folder: Path = SQL_FOLDER / "queries") -> Mapping[str, str]:
    """Every query of the folder by its name, without its head line."""
    found: dict[str, str] = {}
    mistakes: list[str] = []
    for path in sorted(folder.glob("*.sql")):
        for name, text in _parse(path.read_text(encoding="utf-8").splitlines()):
            if not name:
                mistakes.append(f"{path.name}: a query without a line '-- name: purpose' above it")
            elif name in found:
                mistakes.append(f"{path.name}: a second query is named {name}")
            elif not text:
                mistakes.append(f"{path.name}: {name} is empty")
            else:
                found[name] = text
    if mistakes:
        raise ConfigurationFault(mistakes)
    return MappingProxyType(found)


def _parse(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    name, text = "", list[str]()
    for line in lines:
        if head := _HEAD.match(line):
            if name or "".join(text).strip():
                yield name, "\n".join(text).strip()
            name, text = head[1], []
        elif not line.startswith("--"):
            text.append(line)
    if name or "".join(text).strip():
        yield name, "\n".join(text).strip()


def migration_files(folder: Path = SQL_FOLDER / "migrations") -> list[Path]:
    """All migrations in the order in which they are applied; a wrong name is a fault."""
    paths = sorted(folder.glob("*.sql"))
    wrong = [path.name for path in paths if not MIGRATION_NAME.match(path.name)]
    if wrong:
        raise ConfigurationFault([f"{name} is no name of a migration" for name in wrong])
    return paths
