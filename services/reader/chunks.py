"""Cuts Markdown at its headings. Pure; it loses nothing but blank lines between two chunks."""

import re
from dataclasses import dataclass
from typing import Final

ATX: Final = re.compile(r"(#{1,6})[ \t]+\S")
SETEXT: Final = re.compile(r"(=+|-+)[ \t]*")
FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(slots=True)
class _Section:
    level: int
    heading: str
    lines: list[str]


def cut(markdown: str, title: str, chunking: str) -> list[str]:
    """The chunks of `markdown`; `chunking` is as in Wishes, such as `h3` or `s2`.

    A heading deeper than the level stays in the chunk of the one above it. With `s` a chunk begins
    with the title of the page and every heading it stands under.
    """
    depth, contextual = int(chunking[1:]), chunking[0] == "s"
    chunks: list[str] = []
    above: list[_Section] = []
    for section in _sections(markdown, depth):
        above = [upper for upper in above if upper.level < section.level]
        body = "\n".join(section.lines).strip()
        if contextual and section.level:
            names = [f"# {title}"] if title else []
            names += [upper.heading for upper in above if upper.heading]
            names.append(section.heading)
            body = "\n".join(dict.fromkeys(names)) + "\n\n" + body
        elif section.heading:
            body = f"{section.heading}\n{_gap(section)}{body}"
        above.append(section)
        if body.strip():
            chunks.append(body.strip())
    return chunks


def _gap(section: _Section) -> str:
    return "\n" if section.lines and not section.lines[0].strip() else ""


def _sections(markdown: str, depth: int) -> list[_Section]:
    """The text before the first heading, then each heading of at most `depth` with its text."""
    lines = markdown.split("\n")
    found = [_Section(0, "", [])]
    fence = ""
    skip = False
    for number, line in enumerate(lines):
        if skip:
            skip = False
            continue
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if fence:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        elif mark := FENCE.match(line):
            fence = mark[1]
        elif (level := _level(line, following, found[-1].lines)) and level <= depth:
            underlined = not line.startswith("#")
            found.append(_Section(level, f"{line}\n{following}" if underlined else line, []))
            skip = underlined
            continue
        found[-1].lines.append(line)
    return found


def _level(line: str, following: str, before: list[str]) -> int:
    """The level of the heading that `line` is, or 0."""
    if mark := ATX.match(line):
        return len(mark[1])
    stands_alone = not before or not before[-1].strip()
    plain = line.strip() and not line.startswith((" ", "\t", "|", ">", "-", "*", "+"))
    if plain and stands_alone and SETEXT.fullmatch(following):
        return 1 if following.startswith("=") else 2
    return 0
