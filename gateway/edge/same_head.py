"""A head that a kept connection sends again, but for the length of its body: parsed once.

Clients of an API send the same head with every request of a connection. The first one goes through
the parser; one that is the same byte for byte, with its whole body in the same packet, means the
same. Refuses everything else: what differs at all, what is cut, what has more behind it.
"""

import re
from typing import Final

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from gateway.products.product import Product

_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})\r\n", re.IGNORECASE)
_HEAD_END: Final = b"\r\n\r\n"
_MOST_DIGITS: Final = 9
# A browser's cookies and a trace make a kilobyte; what is longer is parsed each time.
_MOST_BYTES: Final = 2_048
# Of so many connections of a process, some 5 KB each.
MOST: Final = 256


class WholeBody:
    """A body that came along with its head, as far as a StreamReader is asked for one."""

    __slots__ = ("_data", "head", "size")

    def __init__(self, head: "SameHead", data: bytes) -> None:
        self._data = data
        self.head = head
        self.size = len(data)

    def is_eof(self) -> bool:
        """Nothing more will come."""
        return True

    def exception(self) -> None:
        """Nothing is wrong with it."""

    def read_nowait(self) -> bytes:
        """All of it; b"" from then on."""
        data, self._data = self._data, b""
        return data

    async def readany(self) -> bytes:
        """The same."""
        return self.read_nowait()


Payload = StreamReader | WholeBody


class SameHead:
    """One parsed head, in two pieces around the digits of its body's length.

    `forwarded` is what of it a product's service may see, once that was found out.
    """

    __slots__ = ("_after", "_before", "forwarded", "message")

    def __init__(self, before: bytes, after: bytes, message: RawRequestMessage) -> None:
        self._before = before
        self._after = after
        self.message = message
        self.forwarded: tuple[Product, bytes] | None = None

    def body_of(self, data: bytes) -> WholeBody | None:
        """The body, if a packet is this head with another length, and exactly one whole body."""
        before, after = self._before, self._after
        if not data.startswith(before):
            return None
        at = len(before)
        end = data.find(b"\r", at, at + _MOST_DIGITS + 1)
        digits = data[at:end] if end > 0 else b""
        if not digits.isdigit() or not data.startswith(after, end):
            return None
        start = end + len(after)
        return WholeBody(self, data[start:]) if len(data) - start == int(digits) else None


def same_head(data: bytes, message: RawRequestMessage) -> SameHead | None:
    """What to compare the next packet with, if this one is a head and its whole body.

    `message` is what the parser made of it, and perhaps of something before it that it had already:
    then the first line, or the number of lines, is another.
    """
    size = data.find(_HEAD_END) + len(_HEAD_END)
    if not len(_HEAD_END) <= size <= _MOST_BYTES or message.should_close or message.upgrade:
        return None
    target = message.path.encode("utf-8", "surrogateescape")
    begins = data.startswith(b"%b %b HTTP/" % (message.method.encode("ascii"), target))
    if not begins or data.count(b"\r\n", 0, size) != len(message.raw_headers) + 2:
        return None
    lengths = list(_LENGTH.finditer(data, 0, size))
    if len(lengths) != 1 or len(data) - size != int(lengths[0][1]) or message.chunked:
        return None
    return SameHead(data[: lengths[0].start(1)], data[lengths[0].end(1) : size], message)
