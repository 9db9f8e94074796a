"""The source tree as facts: modules, their imports, their syntax."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SIDES = ("gateway", "services")


@dataclass(frozen=True)
class Module:
    """One Python file of the product."""

    name: str
    path: Path
    tree: ast.Module
    lines: int

    @property
    def shown(self) -> str:
        """The path as a person writes it."""
        return str(self.path.relative_to(ROOT))

    def imports(self) -> Iterator[str]:
        """Every module that is imported, wherever the statement stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.shown}: relative import"
                assert node.module is not None
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in names() else node.module

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


@cache
def names() -> frozenset[str]:
    """The names of all modules of the product."""
    return frozenset(_name(path) for side in SIDES for path in (ROOT / side).rglob("*.py"))


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the product."""
    found = []
    for side in SIDES:
        for path in sorted((ROOT / side).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Module(_name(path), path, ast.parse(text), text.count("\n")))
    return tuple(found)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git tracks, or would: new ones that are not ignored count."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file())
