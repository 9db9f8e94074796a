"""Whether a robots.txt lets a named robot read a path, by RFC 9309. Pure.

The longest rule that matches decides, and allowing wins a tie. It refuses nothing: lines that say
nothing are left out.
"""

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

# What the standard asks a reader of such files to read at least.
ROBOTS_BYTES: Final = 512 * 1024
RULES: Final = 10_000


@dataclass(slots=True)
class _Group:
    agents: list[str] = field(default_factory=list)
    rules: list[tuple[str, bool]] = field(default_factory=list)


def allows(text: str, agent: str, path: str) -> bool:
    """Whether `agent` (its product token, as `MyBot` or `MyBot/1.0`) may read `path`."""
    name = agent.strip().split("/")[0].split(" ")[0].lower()
    groups = _groups(text)
    mine = [group for group in groups if name in group.agents]
    if not mine:
        mine = [group for group in groups if "*" in group.agents]
    plain = unquote(path)
    best = (-1, True)
    for group in mine:
        for rule, allowed in group.rules:
            if _matches(unquote(rule), plain):
                best = max(best, (len(rule), allowed))
    return best[1]


def _groups(text: str) -> list[_Group]:
    groups: list[_Group] = []
    naming = False
    for line in text[:ROBOTS_BYTES].splitlines()[:RULES]:
        key, colon, value = line.partition("#")[0].partition(":")
        word, said = key.strip().lower(), value.strip()
        if not colon:
            continue
        if word == "user-agent":
            if not naming:
                groups.append(_Group())
            groups[-1].agents.append(said.split("/")[0].strip().lower())
            naming = True
        elif word in ("allow", "disallow"):
            naming = False
            if groups and said:
                groups[-1].rules.append((said, word == "allow"))
    return groups


def _matches(rule: str, path: str) -> bool:
    """Whether the rule, in which `*` is anything and a last `$` the end, fits from the start."""
    anchored = rule.endswith("$")
    first, *pieces = rule.removesuffix("$").split("*")
    if not path.startswith(first):
        return False
    place = len(first)
    if not pieces:
        return not anchored or place == len(path)
    last = pieces.pop() if anchored else ""
    for piece in pieces:
        place = path.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return not anchored or (path.endswith(last) and len(path) - len(last) >= place)
