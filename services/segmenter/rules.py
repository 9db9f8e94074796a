"""The seams of a text: the numbered rules of the wire contract, one function each. Pure.

Every rule looks at a text from one place and answers where its chunk ends, or None. Each is bounded
by the lengths below, and reads what it accepts once, which is what keeps the whole scan linear.
"""

import re
from string import ascii_letters, digits
from typing import Final

from services.segmenter.ahead import EMOJI

HEADING: Final = 200
CITATION_LINE: Final = 800
LIST_ITEM: Final = 200
LIST_NESTED_ITEMS: Final = 6
QUOTE_LINE: Final = 200
QUOTE_LINES: Final = 15
CODE_BLOCK: Final = 1500
CODE_LINES: Final = 20
TABLE_ROWS: Final = 20
TABLE_ROW: Final = 1000
HTML_TABLE: Final = 2000
FRONT_MATTER: Final = 2000
STANDALONE_LINE: Final = 800
SENTENCE: Final = 400
QUOTED: Final = 300
BRACKETED: Final = 200
NESTING: Final = 5
PARAGRAPH: Final = 1000
HTML_BODY: Final = 1000
LATEX_INLINE: Final = 100
LATEX_BLOCK: Final = 500
FALLBACK_LINE: Final = 800

STOPS: Final = frozenset(".!?…。！？；｡:：")
SEEN_THROUGH: Final = frozenset(" \t\r*_`\"'”’»)]}）】》」』〉")
STOP_LOOK_BACK: Final = 12
EMOJI_MARK: Final = re.compile(f"[{EMOJI}]")
BLANK_AHEAD: Final = re.compile(r"[ \t\r]{1,12}(?=\n|\Z)")
RUN: Final = re.compile(r"[#*=-]{1,7}(?=[^\n])")
UNDERLINE: Final = re.compile(r"[ \t]*(?:={2,200}|-{2,200})[ \t\r]*(?=\n|\Z)")
H_TAG: Final = re.compile(r"<h([1-6])(?: [^<>\n]{0,100})?>[^\n<]{1,200}</h\1>[ \t\r]*(?=\n|\Z)")
CITATION: Final = re.compile(r"\[[0-9]{1,4}\]")
LIST_MARK: Final = re.compile(
    r"(?:[-*+•‣◦] ?\[[ xX]\]|[-*+•‣◦–]|[0-9]{1,3}[.)、]|\(?[0-9a-zA-Z]{1,3}\)|[a-zA-Z]\.)"
    r"[ \t]+(?=\S)"
)
NESTED_MARK: Final = re.compile(rf"[ \t]{{2,24}}{LIST_MARK.pattern}")
QUOTE_MARK: Final = re.compile(r"[ \t]{0,3}>")
FENCE: Final = re.compile(r"(`{3,}|~{3,})[^\n`]{0,100}\n")
INDENTED: Final = re.compile(r"(?:    |\t)[^\n]*(?:\n|\Z)")
SEPARATOR_ROW: Final = re.compile(r"[ \t]*\|?(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?::?-+:?)?[ \t\r]*\Z")
RULE_LINE: Final = re.compile(r"(?:[-*_][ \t]*){3,80}\r?(?=\n|\Z)|<hr[^<>\n]{0,100}>")
OPEN_TAG: Final = re.compile(r"<([a-zA-Z][a-zA-Z0-9]{0,20})(?:\s[^<>]{0,100})?>")
# What the next line begins with when nothing of this one goes on there; empty at the end.
LAST_BEFORE: Final = frozenset(["", "\n", "\r", *"#>|`~<+•"])
LIST_STARTS: Final = frozenset("-*+•‣◦–(" + digits + ascii_letters)
PAIRS: Final = {
    '"': '"', "“": "”", "«": "»", "‘": "’", "「": "」", "『": "』",
    "(": ")", "[": "]", "{": "}", "（": "）", "【": "】", "《": "》",
}  # fmt: skip
BOUNDS: Final = {
    opener: re.compile(f"[{re.escape(opener + closer)}]") for opener, closer in PAIRS.items()
}
QUOTES: Final = frozenset('"“«‘「『')


def front_matter(text: str, start: int) -> int | None:
    """Rule 0: `---` on the first line up to the next `---` line."""
    if not text.startswith("---\n", start):
        return None
    end = text.find("\n---", start + 3, start + FRONT_MATTER)
    if end < 0 or text[end + 4 : end + 5] not in ("", "\n", "\r"):
        return None
    return end + 4


def heading(text: str, start: int, line_end: int) -> int | None:
    """Rule 1: a line that begins with a run of `#*=-`, is underlined, or is an `<h1>` to `<h6>`."""
    first = text[start]
    if first in "#*=-":
        run = RUN.match(text, start)
        return line_end if run and line_end - run.end() <= HEADING else None
    if first == "<":
        tag = H_TAG.match(text, start)
        return tag.end() if tag else None
    if line_end - start <= HEADING and (first.isalnum() or first == "_"):
        line = UNDERLINE.match(text, line_end + 1)
        return line.end() if line else None
    return None


def citation(text: str, start: int, line_end: int) -> int | None:
    """Rule 2: a line that begins with a number in brackets."""
    if text[start] != "[" or line_end - start > CITATION_LINE:
        return None
    return line_end if CITATION.match(text, start) else None


def list_item(text: str, start: int, line_end: int) -> int | None:
    """Rule 3: an item with a mark, and the items nested below it."""
    if line_end - start > LIST_ITEM or not LIST_MARK.match(text, start):
        return None
    end = line_end
    for _ in range(LIST_NESTED_ITEMS):
        if not NESTED_MARK.match(text, end + 1):
            break
        following = text.find("\n", end + 1, end + 2 + LIST_ITEM)
        if following < 0:
            if len(text) - end > LIST_ITEM:
                break
            return len(text)
        end = following
    return end


def block_quote(text: str, start: int, line_end: int) -> int | None:
    """Rule 4: lines that begin with `>`."""
    if text[start] != ">" or line_end - start > QUOTE_LINE:
        return None
    end = line_end
    for _ in range(QUOTE_LINES - 1):
        if not QUOTE_MARK.match(text, end + 1):
            break
        following = text.find("\n", end + 1, end + 2 + QUOTE_LINE)
        if following < 0:
            return len(text) if len(text) - end <= QUOTE_LINE else end
        end = following
    return end


def code(text: str, start: int) -> int | None:
    """Rule 5: a fenced block, or `<pre>`; indented code is `indented_code`."""
    first = text[start]
    if first in "`~":
        fence = FENCE.match(text, start)
        if fence is None:
            return None
        close = text.find("\n" + fence[1], fence.end() - 1, start + CODE_BLOCK)
        return None if close < 0 else _end_of_run(text, close + 1, first)
    if first == "<" and text.startswith("<pre", start):
        close = text.find("</pre>", start, start + CODE_BLOCK)
        return None if close < 0 else close + len("</pre>")
    return None


def indented_code(text: str, start: int, line_end: int) -> int | None:
    """Rule 5: lines indented by four spaces or a tab, of which `start` follows the indentation."""
    before = text[max(start - 4, 0) : start]
    if before != "    " and not before.endswith("\t"):
        return None
    end = line_end
    for _ in range(CODE_LINES - 1):
        line = INDENTED.match(text, end + 1)
        if line is None or not line[0].strip():
            break
        end = line.end() - (1 if line[0].endswith("\n") else 0)
    return end


def table(text: str, start: int, line_end: int) -> int | None:
    """Rule 6: rows of pipes, or a `<table>`."""
    if text.startswith("<table", start):
        close = text.find("</table>", start, start + HTML_TABLE)
        return None if close < 0 else close + len("</table>")
    if line_end - start > TABLE_ROW or text.find("|", start, line_end) < 0:
        return None
    piped = text[start] == "|"
    if not piped and not SEPARATOR_ROW.match(text[line_end + 1 : _line(text, line_end + 1)]):
        return None
    end = line_end
    for _ in range(TABLE_ROWS - 1):
        following = _line(text, end + 1)
        row = text[end + 1 : following]
        if "|" not in row or (piped and not row.lstrip().startswith("|")):
            break
        end = following
    return end


def rule_line(text: str, start: int) -> int | None:
    """Rule 7: a horizontal rule."""
    if text[start] not in "-*_<":
        return None
    line = RULE_LINE.match(text, start)
    return line.end() if line else None


def standalone_line(text: str, start: int, line_end: int) -> int | None:
    """Rule 8: a line that is a block by itself: it ends a sentence, or nothing goes on below it."""
    if line_end - start > STANDALONE_LINE:
        return None
    following = text[line_end + 1 : line_end + 2]
    if following in LAST_BEFORE or _stops(text, start, line_end):
        return line_end
    if following in LIST_STARTS and LIST_MARK.match(text, line_end + 1):
        return line_end
    if following in " \t" and BLANK_AHEAD.match(text, line_end + 1):
        return line_end
    return None


def _stops(text: str, start: int, line_end: int) -> bool:
    """Whether the line ends a sentence, looking through space and closing marks at its end."""
    end = line_end
    while end > start and end > line_end - STOP_LOOK_BACK:
        last = text[end - 1]
        if last in STOPS or (last > "\u2000" and EMOJI_MARK.match(last)):
            return True
        if last not in SEEN_THROUGH:
            return False
        end -= 1
    return False


def sentence(start: int, sentence_end: int, paragraph_end: int) -> int | None:
    """Rule 9: up to the first end of a sentence within its paragraph."""
    return sentence_end if sentence_end <= min(start + SENTENCE, paragraph_end) else None


def quoted(text: str, start: int) -> int | None:
    """Rule 10: quoted or bracketed text, nested at most five deep."""
    opener = text[start]
    closer = PAIRS.get(opener)
    if closer is None:
        return None
    limit = min(start + (QUOTED if opener in QUOTES else BRACKETED), len(text))
    if opener == closer:
        end = text.find(closer, start + 1, limit)
        return None if end < 0 else end + 1
    depth = 0
    for match in BOUNDS[opener].finditer(text, start, limit):
        depth += 1 if match[0] == opener else -1
        if depth == 0:
            return match.end()
        if depth > NESTING:
            return None
    return None


def paragraph(start: int, paragraph_end: int) -> int | None:
    """Rule 11: to the next blank line."""
    return paragraph_end if start < paragraph_end <= start + PARAGRAPH else None


def html_element(text: str, start: int) -> int | None:
    """Rule 12: an element with its body."""
    tag = OPEN_TAG.match(text, start) if text[start] == "<" else None
    if tag is None:
        return None
    close = text.find(f"</{tag[1]}>", tag.end(), tag.end() + HTML_BODY)
    return None if close < 0 else close + len(tag[1]) + 3


def latex(text: str, start: int) -> int | None:
    """Rule 13: a formula between dollars or backslashed brackets."""
    for opener, closer, length in (
        ("$$", "$$", LATEX_BLOCK),
        ("\\[", "\\]", LATEX_BLOCK),
        ("\\(", "\\)", LATEX_INLINE),
        ("$", "$", LATEX_INLINE),
    ):
        if text.startswith(opener, start):
            end = text.find(closer, start + len(opener) + 1, start + length)
            return None if end < 0 else end + len(closer)
    return None


def fallback(start: int, line_end: int) -> int:
    """Rule 14: the rest of the line, or as much of it as a chunk may have."""
    return min(max(line_end, start + 1), start + FALLBACK_LINE)


def _line(text: str, start: int) -> int:
    """The end of the line at `start`, no further than a row may be long."""
    found = text.find("\n", start, start + TABLE_ROW)
    return min(start + TABLE_ROW, len(text)) if found < 0 else found


def _end_of_run(text: str, start: int, mark: str) -> int:
    end = start
    while end < len(text) and text[end] == mark:
        end += 1
    return end
