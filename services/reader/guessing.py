"""The character set of bytes that nobody has labelled: one of the web's, by language if it is said.

Owner of charset-normalizer. Pure; it refuses nothing: None says that there is no telling.
"""

import re
from typing import Final

from charset_normalizer import from_bytes

# Enough for the guess to be stable; the guess costs about 1 ms per kilobyte.
GUESS_BYTES: Final = 16 * 1024
# What stands between tags and is not ASCII: markup would make every page look western.
TELLING: Final = re.compile(rb"[^<>]*[\x80-\xff][^<>]*")
LANGUAGE: Final = re.compile(rb"<html\b[^>]*?\slang\s*=\s*[\"']?([a-z]{2,3})", re.IGNORECASE)
HEAD_BYTES: Final = 4096
ISO_2022: Final = re.compile(rb"\x1b(?:\$[@B]|\([BJ])")
EUROPE: Final = ("cp1250", "iso8859_2", "cp1252")
BY_LANGUAGE: Final = {
    **dict.fromkeys(("ru", "uk", "be", "bg", "sr", "mk"), ("cp1251", "koi8_r")),
    **dict.fromkeys(("pl", "cs", "sk", "hu", "hr", "sl", "ro"), EUROPE[:2]),
    **dict.fromkeys(("et", "lv", "lt"), ("cp1257",)),
    **dict.fromkeys(("el",), ("cp1253",)),
    **dict.fromkeys(("tr", "az"), ("cp1254",)),
    **dict.fromkeys(("he", "iw", "yi"), ("cp1255",)),
    **dict.fromkeys(("ar", "fa", "ur"), ("cp1256",)),
    **dict.fromkeys(("vi",), ("cp1258",)),
    **dict.fromkeys(("th",), ("cp874",)),
    **dict.fromkeys(("ja",), ("cp932", "euc_jp")),
    **dict.fromkeys(("zh",), ("gb18030", "big5")),
    **dict.fromkeys(("ko",), ("cp949",)),
}
ANY: Final = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874"),
    *("koi8_r", "iso8859_2", "gb18030", "big5", "cp932", "cp949", "euc_jp"),
)
LATIN: Final = frozenset({"cp1250", "cp1252", "cp1254", "cp1257", "iso8859_2"})
# Signs that no western word has within, and that are letters in the middle of Europe.
NO_LETTERS: Final = re.compile("[a-zA-Z][³¹¿¼¾¶±][a-zA-Z]")
# The Turkish letters that western pages have for Icelandic only.
TURKISH: Final = re.compile("[ýþðÝÞÐ]")
ICELANDIC: Final = re.compile("[æáéóúÆÁÉÓÚ]")
# The bytes of Hebrew letters are small Cyrillic ones, but never the capitals or the last five.
NOT_HEBREW: Final = re.compile(rb"[\xc0-\xdf\xfb-\xff]")


def guess(body: bytes) -> str | None:
    """The decoder for `body`, which is no UTF-8."""
    telling = b" ".join(TELLING.findall(body[: 64 * GUESS_BYTES]))[:GUESS_BYTES]
    language = LANGUAGE.search(body, 0, HEAD_BYTES)
    known = BY_LANGUAGE.get(language[1].decode().lower()) if language else None
    if known is not None and len(known) == 1:
        return known[0]
    best = from_bytes(telling, cp_isolation=list(known or ANY)).best()
    found = best.encoding if best is not None else None
    if known is not None or found is None:
        return found or (known[0] if known else None)
    if found == "cp1251" and not NOT_HEBREW.search(telling):
        return "cp1255"
    return _of_latin(telling) if found in LATIN else found


def is_iso_2022(body: bytes) -> bool:
    """Whether the bytes switch to Japanese by escapes, which makes them ASCII to everybody else."""
    return ISO_2022.search(body, 0, GUESS_BYTES) is not None


def _of_latin(telling: bytes) -> str:
    """The one of Latin scripts, by the letters that only one of them has."""
    western = telling.decode("cp1252", "replace")
    if NO_LETTERS.search(western):
        return "iso8859_2" if NO_LETTERS.search(telling.decode("cp1250", "replace")) else "cp1250"
    turkish = TURKISH.findall(western)
    return "cp1254" if len(turkish) > 1 and not ICELANDIC.search(western) else "cp1252"
