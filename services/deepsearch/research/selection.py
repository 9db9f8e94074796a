"""Which of the found addresses are read, and how many. Pure but for the scores it is given.

It refuses hostnames that the client does not want, and whatever is no web address.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from services.deepsearch.research.mind import Options
from services.deepsearch.research.text import key_of
from services.deepsearch.tools import Hit

# What one round of reading may cost, as a share of what is left, and how many pages that is at
# least and at most: short pages are cheap, so more of them are read.
ROUND_SHARE: Final = 0.03
PAGES_LEAST, PAGES_MOST = 3, 12
# Pages of so many tokens are sooner read than ranked.
SHORT_PAGE_TOKENS: Final = 400
# Taken for a page's tokens before one was read.
USUAL_PAGE_TOKENS: Final = 1_500
# What a name in the query that is the page's title counts, what a place in the list, and what a
# hostname that the client prefers, beside a relevance from 0 to 1.
TITLED, PLACED, PREFERRED = 0.35, 0.2, 0.5


@dataclass(slots=True)
class Candidate:
    """A hit, the query that found it, its place there, and how relevant it seems."""

    hit: Hit
    query: str
    place: int
    relevance: float | None = None
    founds: int = 1
    titled: bool = field(init=False)
    preferred: bool = False

    def __post_init__(self) -> None:
        self.titled = is_titled(self.hit.title, self.query)

    @property
    def score(self) -> float:
        """Higher is to be read sooner."""
        found = (self.relevance or 0.0) + PLACED / (1 + self.place) + 0.02 * (self.founds - 1)
        return found + TITLED * self.titled + PREFERRED * self.preferred


def is_titled(title: str, query: str) -> bool:
    """Whether the page is named in the query."""
    key, asked = key_of(title), key_of(query)
    return bool(key) and f" {key} " in f" {asked} "


def host_of(url: str) -> str:
    """The hostname, or empty where the address is none that can be read."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip(".") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def below(host: str, names: Iterable[str]) -> bool:
    """Whether the host is one of the names or below one."""
    return any(host == name or host.endswith(f".{name}") for name in map(_plain, names) if name)


def _plain(name: str) -> str:
    """A hostname as a client may write it: with scheme, path, star or capitals."""
    bare = name.strip().lower().rpartition("://")[2]
    return bare.partition("/")[0].partition(":")[0].removeprefix("*.").strip(".")


def is_wanted(url: str, options: Options) -> bool:
    """Whether the client lets this address be read."""
    host = host_of(url)
    if not host or below(host, options.bad_hostnames):
        return False
    return not options.only_hostnames or below(host, options.only_hostnames)


def usual(page_tokens: Sequence[int]) -> int:
    """How many tokens a page has here, by those that were read."""
    known = sorted(page_tokens)
    return known[len(known) // 2] if known else USUAL_PAGE_TOKENS


def appetite(left_tokens: int, page_tokens: int) -> int:
    """How many pages of that size this round may read."""
    most = int(left_tokens * ROUND_SHARE / max(1, page_tokens))
    return max(1 if most < 1 else PAGES_LEAST, min(PAGES_MOST, most))


def chosen(candidates: Sequence[Candidate], queries: Sequence[str], most: int) -> list[Candidate]:
    """The best candidates: first those of each query in turn, so that no query goes unheard."""
    ranked = sorted(candidates, key=lambda candidate: -candidate.score)
    rows = [[c for c in ranked if c.query == query] for query in queries]
    others = [c for c in ranked if c.query not in queries]
    found: list[Candidate] = []
    for place in range(max((len(row) for row in rows), default=0)):
        tier = [row[place] for row in rows if place < len(row)]
        found.extend(sorted(tier, key=lambda candidate: -candidate.score))
    return [*found, *others][:most]
