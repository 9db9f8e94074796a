"""What the Markdown converter cannot write in the client's style, by marks put into the tree.

1. before conversion rules, links and tables get marks: noncharacters, which no page may contain
2. the converter writes them through, as it does any text
3. after it, the marks become what the style asks for

It refuses nothing. It runs in a worker process.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from services.reader import remodel
from services.reader.dom import Dom
from services.reader.jobs import Style
from services.reader.markdown import EMPHASIS

# Noncharacters of Unicode: allowed in strings, assigned to nothing, dropped from every page first,
# as are the private planes, which `carry` uses (and fonts of icons, which are no text).
RULE: Final = "\ufdd1"
OPEN: Final = "\ufdd2"
CLOSE: Final = "\ufdd3"
TABLE: Final = "\ufdd4"
END: Final = "\ufdd5"
MARKS: Final = re.compile("[\ufdd0-\ufdef\U000f0000-\U0010ffff]")
EMPHASES: Final = re.compile(f"{EMPHASIS}+")
LINK: Final = re.compile(f"{OPEN}(.*?){CLOSE}([0-9]+){END}", re.DOTALL)
TABLES: Final = re.compile(f"{TABLE}([0-9]+){END}")
# What has no Markdown, and must not come out as its source or its name.
UNWRITTEN: Final = ("svg", "iframe", "template", "object", "embed", "canvas", "video", "audio")
STRIKES: Final = ("del", "s", "strike")


class Dress:
    """One page's marks. `host` is the page's own, which citations do not name."""

    def __init__(self, style: Style, retain_links: str, host: str) -> None:
        self._style = style
        self._retain_links = retain_links
        self._host = host
        self._tables: list[str] = []
        self._references: dict[str, int] = {}
        self.cited: dict[str, str] = {}

    def put_on(self, page: Dom) -> None:
        """Marks the tree."""
        page.replace("hr", lambda _node: f"<p>{RULE}</p>")
        referenced = self._style.links == "referenced" and self._retain_links == "all"
        if referenced and self._style.tables == "html":
            page.replace("table", self._keep_table)  # links in them stay as they are
        if self._retain_links == "gpt-oss":
            page.rewrite_links(self._cite)
        elif self._style.links == "discarded" and self._retain_links == "all":
            page.unwrap("a")
        elif referenced:
            page.rewrite_links(self._refer)
        if self._style.tables == "html":
            page.replace("table", self._keep_table)
        elif self._style.tables == "plain":
            remodel.flatten_tables(page.tree)
            page.unwrap(*STRIKES)
            page.remove(("li > input",))

    def write(self, markdown: str) -> str:
        """`markdown` with every mark written out."""
        written = self._emphases(markdown)
        written = written.replace(RULE, self._style.hr)
        definitions: dict[str, str] = {}
        addresses = {number: url for url, number in self._references.items()}
        written = LINK.sub(
            lambda found: self._link(found[1], int(found[2]), addresses, definitions), written
        )
        while TABLES.search(written):  # a table may stand in a table
            written = TABLES.sub(lambda found: self._tables[int(found[1])], written)
        if definitions and self._style.references != "discarded":
            rows = [f"[{label}]: {url}" for label, url in definitions.items()]
            written += "\n\n" + "\n".join(rows)
        return MARKS.sub("", written)

    def _link(
        self, text: str, number: int, addresses: dict[int, str], definitions: dict[str, str]
    ) -> str:
        flat = " ".join(text.split())
        if self._style.references in ("collapsed", "shortcut"):
            definitions.setdefault(flat, addresses[number])
            return f"[{flat}]" + ("[]" if self._style.references == "collapsed" else "")
        definitions.setdefault(str(number), addresses[number])
        return f"[{flat}][{number}]"

    def _refer(self, text: str, url: str) -> tuple[str, str] | str | None:
        if not text:
            return None
        number = self._references.setdefault(url, len(self._references) + 1)
        return OPEN, f"{CLOSE}{number}{END}"

    def _cite(self, text: str, url: str) -> tuple[str, str] | str | None:
        """The link as a citation that has its number in the summary of links."""
        if not text:
            return None
        if not url.startswith(("http:", "https:")):
            return text
        host = urlsplit(url).hostname or ""
        number = self._references.setdefault(url, len(self._references) + 1)
        self.cited[str(number)] = url
        shown = [
            str(number),
            *(_quiet(part) for part in (text, host if host != self._host else "")),
        ]
        return "【" + "†".join(part for part in shown if part) + "】"

    def _keep_table(self, html: str) -> str:
        self._tables.append(html)
        return f"<p>{TABLE}{len(self._tables) - 1}{END}</p>"

    def _emphases(self, markdown: str) -> str:
        """The marks of emphasis in the client's signs; none reaches over a blank line."""
        if EMPHASIS not in markdown:
            return markdown
        return "\n\n".join(
            _signed(part, self._style) if EMPHASIS in part else part
            for part in markdown.split("\n\n")
        )


def _signed(text: str, style: Style) -> str:
    """One mark is emphasis, two are strong, three both; each run closes what it can, then opens.

    Inside a word an underscore would be a letter, so there emphasis is a star.
    """
    opened: list[tuple[int, str]] = []

    def sign(found: re.Match[str]) -> str:
        length, written = len(found[0]), ""
        while opened and (opened[-1][0] == length or (length == 3 and opened[-1][0] < 3)):
            step, closing = opened.pop()
            length -= step
            written += closing
        while length > 0:
            step = 2 if length >= 2 else 1
            opening = style.strong if step == 2 else _em(text, found, style.em)
            opened.append((step, opening))
            length -= step
            written += opening
        return written

    return EMPHASES.sub(sign, text)


def _em(text: str, found: re.Match[str], wanted: str) -> str:
    closing = EMPHASES.search(text, found.end())
    before = text[found.start() - 1 : found.start()]
    after = text[closing.end() : closing.end() + 1] if closing else ""
    return "*" if before.isalnum() or after.isalnum() else wanted


def _quiet(text: str) -> str:
    """Text without the signs that a citation is made of."""
    return re.sub("[【†】]", " ", text).strip()
