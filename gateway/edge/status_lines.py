"""The first line of an answer, made beforehand. Refuses no status: unknown ones have no phrase."""

from http import HTTPStatus
from typing import Final

_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii")
    for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    """`HTTP/1.1 <status> <phrase>` with its line end."""
    return _LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
