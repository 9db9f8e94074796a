"""Style as a test: sizes, what may stand where, and what may not be in the tree at all."""

import ast
import re

from tests.house.tree import ROOT, modules, tracked

MOST_LINES = 300
MOST_FUNCTION_LINES = 50
MOST_README_LINES = 150
TOP_LEVEL = {"pyproject.toml", "README.md", "gateway", "services", "sql", "tests", "ops"}
FOR_TOOLS = {"Makefile", "requirements.lock", ".ci", ".gitignore", ".dockerignore"}
# The two places of the gateway that may catch everything; on the services' side the same two.
MAY_CATCH_ALL = {
    "gateway/loop.py",
    "gateway/edge/server.py",
    "services/serving.py",
    # A page that breaks an extractor fails alone: the last resort of its own process.
    "services/reader/worker.py",
    # A stream that has begun must end properly, whatever a research does.
    "services/deepsearch/session.py",
}
ENVIRONMENT = {"gateway/settings.py", "services/settings.py"}
TEXTS = {".py", ".lua", ".sql", ".toml", ".md", ".sh", ".yml", ".yaml", ".json", ".lock", ""}
LEFT_OPEN = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error")
SKIPPED = re.compile(r"pytest\.(skip|xfail|importorskip)\(|mark\.(skip|skipif|xfail)\b")
POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9]*,?[0-9]*\})\+")
MACHINE = re.compile(r"/work/|/root/|/tmp/bash|pypi\.org|pythonhosted|registry\.npmjs|deb\.debian")


def test_files_are_short() -> None:
    long = [f"{m.shown}: {m.lines} lines" for m in modules() if m.lines > MOST_LINES]
    assert long == []


def test_functions_are_short() -> None:
    long = []
    for module in modules():
        for function in module.functions():
            assert function.end_lineno is not None
            lines = function.end_lineno - function.lineno + 1
            if lines > MOST_FUNCTION_LINES:
                long.append(f"{module.shown}:{function.lineno} {function.name}: {lines} lines")
    assert long == []


def test_every_module_says_what_it_does() -> None:
    assert [m.shown for m in modules() if not ast.get_docstring(m.tree)] == []


def test_every_public_function_and_class_of_the_gateway_says_what_it_promises() -> None:
    silent = []
    for module in modules():
        for node in module.tree.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if not node.name.startswith("_") and not ast.get_docstring(node):
                silent.append(f"{module.shown}:{node.lineno} {node.name}")
    assert silent == []


def test_nothing_is_imported_inside_a_function() -> None:
    hidden = [
        f"{module.shown}:{node.lineno}"
        for module in modules()
        for function in module.functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_no_module_has_state_that_changes() -> None:
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Global):
                wrong.append(f"{module.shown}:{node.lineno} global")
        for statement in module.tree.body:
            for target in _targets(statement):
                constant = target.lstrip("_").isupper() or target.startswith("__")
                alias = target[:1].isupper() or target.lstrip("_")[:1].isupper()
                if not constant and not alias:
                    wrong.append(f"{module.shown}:{statement.lineno} {target}")
    assert wrong == []


def _targets(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Assign):
        return [t.id for t in statement.targets if isinstance(t, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []


def test_importing_a_module_does_no_work() -> None:
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.Assign,
        ast.AnnAssign,
        ast.FunctionDef,
        ast.AsyncFunctionDef,
        ast.ClassDef,
    )
    wrong = []
    for module in modules():
        for node in module.tree.body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            start = isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)
            typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if not isinstance(node, allowed) and not (text or start or typing):
                wrong.append(f"{module.shown}:{node.lineno}")
    assert wrong == []


def test_the_environment_is_read_in_one_place_per_side() -> None:
    wrong = [
        f"{module.shown}:{node.lineno}"
        for module in modules()
        if module.shown not in ENVIRONMENT
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    ]
    assert wrong == []


def test_only_the_last_resorts_catch_everything() -> None:
    wrong = [
        f"{module.shown}:{node.lineno}"
        for module in modules()
        if module.shown not in MAY_CATCH_ALL
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and _swallows_all(node)
    ]
    assert wrong == []


def _swallows_all(handler: ast.ExceptHandler) -> bool:
    name = "" if handler.type is None else ast.unparse(handler.type)
    if name not in ("", "Exception", "BaseException"):
        return False
    # Cleaning up and raising on is not swallowing.
    return not isinstance(handler.body[-1], ast.Raise)


def test_nothing_is_used_that_python_3_11_2_does_wrongly() -> None:
    """Debian 12 has it: possessive groups match wrongly, `except*` wraps what its body raises."""
    wrong = []
    for module in modules():
        for node in ast.walk(module.tree):
            value = node.value if isinstance(node, ast.Constant) else ""
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            possessive = "(?" in text and POSSESSIVE_GROUP.search(text)
            if possessive or isinstance(node, ast.TryStar):
                wrong.append(f"{module.shown}: {ast.unparse(node)[:60]}")
    assert wrong == []


def test_the_top_level_is_the_one_that_was_chosen() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found - TOP_LEVEL - FOR_TOOLS == set()


def test_nothing_is_left_open_or_skipped() -> None:
    wrong = []
    for path in tracked():
        if path.suffix in {".py", ".lua", ".sql"}:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if LEFT_OPEN.search(line) or SKIPPED.search(line):
                    wrong.append(f"{path.relative_to(ROOT)}:{number} {line.strip()}")
    assert [line for line in wrong if "tests/house/test_tidy.py" not in line] == []


def test_no_file_names_this_machine_or_a_registry() -> None:
    wrong = []
    for path in tracked():
        if path.suffix in TEXTS and path != ROOT / "tests/house/test_tidy.py":
            text = path.read_text(encoding="utf-8", errors="replace")
            wrong += [f"{path.relative_to(ROOT)}: {m[0]}" for m in MACHINE.finditer(text)]
    assert wrong == []


def test_the_readme_is_short_and_draws_the_request() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= MOST_README_LINES
    assert "make up" in text
    assert "make test" in text
    assert "ONE Redis round trip" in text
