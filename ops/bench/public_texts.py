"""A set that comes with Python: the documentation of its own library, taken from its source.

A question is the first line of a docstring, its answer the rest. Nothing of it is kept.
"""

import ast
import random
import sysconfig
from pathlib import Path

_QUESTION_CHARACTERS = (30, 200)
_ANSWER_CHARACTERS = (120, 800)


def documentation(count: int) -> list[tuple[str, str]]:
    """So many pairs of question and answer, always the same for one version of Python."""
    pairs: dict[str, str] = {}
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                head, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
                question, answer = " ".join(head.split()), " ".join(rest.split())
                least, most = _QUESTION_CHARACTERS
                if least < len(question) < most and len(answer) > _ANSWER_CHARACTERS[0]:
                    pairs.setdefault(question, answer[: _ANSWER_CHARACTERS[1]])
    found = list(pairs.items())
    random.Random(1).shuffle(found)
    return found[:count]
