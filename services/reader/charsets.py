"""Bytes of a page to text, as a browser would, and more forgiving where the label lies. Pure.

It never refuses: bytes that fit no character set come out with replacement characters.
"""

import codecs
import re
from typing import Final

from services.reader.guessing import guess, is_iso_2022

PRESCAN_BYTES: Final = 4096
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
# Of so many bytes of UTF-16 without its mark every other one is mostly zero.
SAMPLE_BYTES: Final = 512
WESTERN: Final = "cp1252"
# Labels that pages use and Python does not know.
ALIASES: Final = {
    "windows-874": "cp874",
    "dos-874": "cp874",
    "x-sjis": "cp932",
    "ks_c_5601-1987": "cp949",
    "ksc5601": "cp949",
    "gb_2312-80": "gb18030",
    "iso-8859-8-i": "iso8859-8",
    "x-mac-cyrillic": "mac_cyrillic",
    "unicode-1-1-utf-8": "utf-8",
    "utf8mb4": "utf-8",
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
    if is_iso_2022(body):
        return body.decode("iso2022_jp", "replace")
    meta = META.search(body, 0, PRESCAN_BYTES)
    candidates = [known(label), _of_page(meta[1].decode("ascii")) if meta else None]
    if candidates[0] == WESTERN and candidates[1] is not None:
        candidates.reverse()  # what servers say of every page; the page knows better
    if WESTERN in candidates:
        candidates.insert(0, "utf-8")  # no western text looks like it; ASCII is all the same
    for candidate in candidates:
        if candidate is not None:
            text = body.decode(candidate, "replace")
            if candidate == "utf-8" and WESTERN in candidates and "\ufffd" in text:
                continue
            if text.count("\ufffd") * BROKEN_SHARE <= len(text):
                return text
    return _unlabelled(body, next((name for name in candidates if name), None))


def known(label: str | None) -> str | None:
    """The decoder that browsers use for `label`, or None."""
    if not label:
        return None
    bare = label.strip().lower()
    try:
        name = codecs.lookup(ALIASES.get(bare, bare.removeprefix("x-"))).name
    except (LookupError, ValueError):
        return None
    if name in NOT_TEXT:
        return None
    if name in ("utf-16", "utf-16-le", "utf-16-be") and label.lower().startswith("utf"):
        return name
    return MEANT.get(name, name)


def _of_page(label: str) -> str | None:
    """What a page says of itself; whoever can read that it is UTF-16 sees that it is not."""
    name = known(label)
    return "utf-8" if name is not None and name.startswith("utf-16") else name


def _unlabelled(body: bytes, label: str | None) -> str:
    """UTF-8 if it fits, else the best guess, else the label, else what the web assumed once."""
    halves = body[:SAMPLE_BYTES:2], body[1:SAMPLE_BYTES:2]
    for half, name in zip(halves, ("utf-16-be", "utf-16-le"), strict=True):
        if half.count(0) * 2 > len(half):
            return body.decode(name, "replace")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as fault:
        if fault.start >= len(body) - 4:
            return body.decode("utf-8", "replace")
    return body.decode(guess(body) or label or WESTERN, "replace")
