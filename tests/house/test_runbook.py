"""The runbook has a heading for every code that a client can be told."""

import ast
import re

from tests.house.tree import ROOT, Module, modules

CODE = re.compile(r"^[A-Z]+(_[A-Z]+)+$")
# Of the operations listener: told to the operator himself.
OF_OPERATORS = {"AUTH_ADMIN"}


def _codes() -> set[str]:
    found = set()
    for module in modules():
        if not module.name.startswith("gateway."):
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Problem" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and CODE.match(str(first.value)):
                    found.add(str(first.value))
    return found


def test_every_code_of_the_public_side_has_a_heading() -> None:
    headings = "\n".join(
        line
        for line in (ROOT / "ops/runbook.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("###")
    )
    public = {
        code
        for code in _codes() - OF_OPERATORS
        if not any(code in module.path.read_text(encoding="utf-8") for module in _admin())
    }
    assert sorted(code for code in public if code not in headings) == []


def _admin() -> list[Module]:
    return [m for m in modules() if m.name == "gateway.control.admin"]
