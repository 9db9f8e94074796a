"""Bytes of a page to text, as a browser would, and more forgiving where the label lies. Pure.

It never refuses: bytes that fit no character set come out with replacement characters.
"""

import codecs
import re
from typing import Final

from charset_normalizer import from_bytes

PRESCAN_BYTES: Final = 4096
# Enough for the guess to be stable; the guess costs about 1 ms per kilobyte.
GUESS_BYTES: Final = 16 * 1024
# A label is believed while fewer than one character in so many is broken.
BROKEN_SHARE: Final = 500
BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
META: Final = re.compile(
    rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([a-zA-Z0-9_:.+-]{2,40})""",
    re.IGNORECASE,
)
# What pages mean by these labels is the larger set that browsers use for them.
MEANT: Final = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
# Decoders that are no character sets of pages, or that no page may choose.
NOT_TEXT: Final = frozenset(
    {"base64", "bz2", "hex", "idna", "palmos", "punycode", "quopri", "raw-unicode-escape"}
    | {"rot-13", "undefined", "unicode-escape", "utf-7", "uu", "zlib"}
)


def decode(body: bytes, label: str | None) -> str:
    """The text of `body`; `label` is what the answer's header said."""
    for mark, name in BOMS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, "replace")
    meta = META.search(body, 0, PRESCAN_BYTES)
    candidates = [known(label), known(meta[1].decode("ascii")) if meta else None]
    for candidate in candidates:
        if candidate is not None:
            text = body.decode(candidate, "replace")
            if text.count("\ufffd") * BROKEN_SHARE <= len(text):
                return text
    return _unlabelled(body, next((name for name in candidates if name), None))


def known(label: str | None) -> str | None:
    """The decoder that browsers use for `label`, or None."""
    if not label:
        return None
    try:
        name = codecs.lookup(label.strip()).name
    except (LookupError, ValueError):
        return None
    if name in NOT_TEXT:
        return None
    if name in ("utf-16", "utf-16-le", "utf-16-be") and label.lower().startswith("utf"):
        return name
    return MEANT.get(name, name)


def _unlabelled(body: bytes, label: str | None) -> str:
    """UTF-8 if it fits, else the best guess, else the label, else what the web assumed once."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as fault:
        if fault.start >= len(body) - 4:
            return body.decode("utf-8", "replace")
    guess = from_bytes(body[:GUESS_BYTES]).best()
    name = known(guess.encoding) if guess is not None else None
    return body.decode(name or label or "cp1252", "replace")
