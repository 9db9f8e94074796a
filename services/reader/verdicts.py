"""What a page that was read comes to: an answer, what it costs, or why it is none. Pure.

It refuses pages without content, and pages above the client's budget.
"""

from typing import Final

from services.reader.fetch import Fetched
from services.reader.forms import Reading
from services.reader.jobs import Extracted, Failure
from services.reader.refusals import (
    Refusal,
    bad_option,
    no_content,
    not_available,
    over_budget,
)
from services.reader.wanted import Wanted

# Least of a charge, and what a picture costs, in tokens: from the contract's section 1.7.
SHOT_TOKENS: Final = 765
ALT_LEAST_TOKENS: Final = 765
SCRIPT_LEAST_TOKENS: Final = 4000
FAILED_FROM: Final = 400


def accepted(wanted: Wanted, reading: Reading | Refusal) -> Reading | Refusal:
    """The reading, if there is anything in it and the client wants to pay for it."""
    if isinstance(reading, Refusal):
        return reading
    parts, options = reading.parts, wanted.options
    if not any((parts.content, parts.text, parts.html, reading.screenshot, reading.pageshot)):
        selectors = ", ".join(options.wishes.target_selectors)
        suffix = f" with target selector {selectors}" if selectors else ""
        return no_content(f"No content available for URL {reading.url}{suffix}")
    if options.budget_tokens is not None and reading.tokens > options.budget_tokens:
        return over_budget(options.budget_tokens, reading.tokens)
    return reading


def is_failed(status: int) -> bool:
    """Whether the target says that this is not the page: it is shown, and costs nothing."""
    return status >= FAILED_FROM


def tokens(wanted: Wanted, status: int, parts: Extracted) -> int:
    """What the page costs."""
    if is_failed(status):
        return 0
    options = wanted.options
    tokens = parts.tokens + SHOT_TOKENS * len(options.shots)
    least = ALT_LEAST_TOKENS if options.generated_alt else 0
    return max(tokens, SCRIPT_LEAST_TOKENS if options.scripts else least)


def status_warning(page: Fetched) -> tuple[str, ...]:
    """What the target said against its own page, in the contract's words."""
    if not is_failed(page.status):
        return ()
    return (f"Target URL returned error {page.status}: {page.reason}".rstrip(": "),)


def failed(failure: Failure, url: str) -> Refusal:
    """What the client is told when a page could not be taken apart."""
    if failure.kind == "selector":
        return bad_option("selector", f"Not a valid CSS selector: {failure.detail[:80]!r}")
    if failure.kind == "media":
        return not_available("url", f"Reading a target of type {failure.detail!r}")
    return no_content(f"Failed to read {url}: {failure.detail}")
