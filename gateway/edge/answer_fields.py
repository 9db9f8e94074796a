"""Header lines and chunk heads of a service's answer, as bytes. Refuses what is not exactly one."""

from typing import Final

from gateway.errors import AnswerBroken

MAX_HEADERS: Final = 200
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")

Headers = list[tuple[bytes, bytes]]


def chunk_size(line: bytes) -> int:
    """The bytes of the chunk that this line begins; raises AnswerBroken."""
    digits = line.partition(b";")[0].strip(b" \t")
    if not digits or len(digits) > 12 or not _HEX.issuperset(digits):
        raise AnswerBroken("an unreadable chunk size")
    return int(digits, 16)


def parse_fields(lines: list[bytes]) -> Headers:
    """Header lines as pairs, names in lower case; raises AnswerBroken on a line that is none."""
    if len(lines) > MAX_HEADERS:
        raise AnswerBroken("too many headers")
    fields: Headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[-1:] in b" \t" or name[:1] in b" \t":
            raise AnswerBroken("a header without a name")
        fields.append((name.lower(), value.strip(b" \t")))
    return fields
