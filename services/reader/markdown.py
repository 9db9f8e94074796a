"""HTML to Markdown and to plain text. Owner of html-to-markdown; runs in a worker process.

It refuses nothing but input that the converter cannot parse, for which it raises UnparsableError.
"""

import re
from typing import Final

from html_to_markdown import ConversionError, ConversionOptions, PreprocessingOptions, convert

from services.reader.jobs import Style

# Stands for a sign of emphasis until `dress` writes the client's own: a noncharacter of Unicode.
EMPHASIS: Final = "\ufdd0"
PLAIN_STYLE: Final = Style()
BLANK_LINES: Final = re.compile(r"\n{3,}")
# A blank that stood between two blocks in the source, before an image or a link of its own line.
STRAY: Final = re.compile(r"^ (?=!?\[)", re.MULTILINE)
# Makes the converter leave a line before a quote, which it does not by itself.
BEFORE_QUOTE: Final = "\ufdd6"
QUOTE: Final = re.compile(r"<blockquote\b", re.IGNORECASE)
LEFT_LINE: Final = re.compile(f"^[ >]*{BEFORE_QUOTE}[ \\t]*\n", re.MULTILINE)
# The parts of a page in which a line break is one, once the page is well-formed.
PREFORMATTED: Final = re.compile(r"(<pre\b.*?</pre>)", re.DOTALL | re.IGNORECASE)
BREAKS: Final = re.compile(r"[ \t]*[\r\n][ \t\r\n]*")


class UnparsableError(ValueError):
    """The converter could not parse the page."""


def to_markdown(html: str, style: Style = PLAIN_STYLE) -> str:
    """GitHub-flavoured Markdown of everything in `html`, with EMPHASIS for the emphasis signs."""
    return _convert(html, "markdown", style)


def to_text(html: str) -> str:
    """What a reader of the page sees, without any marks."""
    return _convert(html, "plain", PLAIN_STYLE)


def _convert(html: str, form: str, style: Style) -> str:
    options = ConversionOptions(
        output_format=form,
        heading_style="underlined" if style.heading == "setext" else "atx",
        strong_em_symbol=EMPHASIS,
        skip_images=form == "plain",
        extract_metadata=False,
        autolinks=False,
        bullets=style.bullet,
        list_indent_width=2,
        compact_tables=True,
        include_blockquote_citations=False,
        expand_abbreviations=False,
        highlight_style="none",
        preprocessing=PreprocessingOptions(
            enabled=True, preset="minimal", remove_navigation=False, remove_forms=False
        ),
    )
    source = _flowing(html)
    if form == "markdown":
        source = QUOTE.sub(f"<p>{BEFORE_QUOTE}</p><blockquote", source)
    try:
        written = convert(source, options).content or ""
    except ConversionError as fault:
        raise UnparsableError(str(fault)) from fault
    written = LEFT_LINE.sub("", written).replace(BEFORE_QUOTE, "")
    return BLANK_LINES.sub("\n\n", STRAY.sub("", written)).strip()


def _flowing(html: str) -> str:
    """`html` with the line breaks of its source as spaces, which is what they mean."""
    parts = PREFORMATTED.split(html)
    parts[::2] = [BREAKS.sub(" ", part) for part in parts[::2]]
    return "".join(parts)
