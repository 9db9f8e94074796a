"""Follows a stream of server-sent events by what its events say: usage, errors, its end.

A service may tell what it has used so far in comments, `: usage 1234`: the running usage. The usage
of its final event goes before that.

Refuses to keep the stream: of what has gone by it knows the newest usage, whether any event was an
error, and the line that has not ended yet. Only whole lines count, so that a text which mentions
an error event is none.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from gateway.edge.usage import Reading, first_number, says_error, tokens_of
from gateway.units import MIB

# The last event of a deepsearch stream has the whole answer in one line.
_LONGEST_LINE_BYTES: Final = 4 * MIB
_FINISHED: Final = re.compile(rb'"finish_reason"\s*:\s*"(?!thinking_end")')
_DONE: Final = b"[DONE]"
_RUNNING: Final = b": usage "


class SseWatch:
    """`paths` are the catalogue's usage fields. `may_end`: nothing need follow the newest event.

    `running_tokens` is the newest running usage, None before the first.
    """

    __slots__ = (
        "_is_error",
        "_is_final",
        "_line",
        "_overlong",
        "_paths",
        "_tokens",
        "may_end",
        "running_tokens",
    )

    def __init__(self, paths: Sequence[Sequence[str]]) -> None:
        self._paths = paths
        self._line = bytearray()
        self._overlong = False
        self._tokens: int | None = None
        self._is_error = False
        self._is_final = False
        self.may_end = False
        self.running_tokens: int | None = None

    def feed(self, data: bytes) -> None:
        """See some more bytes of the stream."""
        first, *others = data.split(b"\n")
        if not self._overlong:
            self._line += first
            self._overlong = len(self._line) > _LONGEST_LINE_BYTES
        if not others:
            return
        if not self._overlong:
            self._see(bytes(self._line))
        *whole, rest = others
        for line in whole:
            self._see(line)
        self._line = bytearray(rest)
        self._overlong = False

    @property
    def at_boundary(self) -> bool:
        """Whether an event of ours would not stand in the middle of a line."""
        return not self._line and not self._overlong

    def reading(self) -> Reading:
        """What the events have told; a last line without its end counts as one."""
        if self._line and not self._overlong:
            line, self._line = bytes(self._line), bytearray()
            self._see(line)
            self._line = bytearray(line)
        return Reading(self._tokens if self._is_final else self.running_tokens, self._is_error)

    def _see(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._see_data(line[5:].strip())
        elif line.startswith(_RUNNING):
            self._runs(tokens_of(line[len(_RUNNING) :].strip()))
        elif line.startswith(b"event:") and line[6:].strip() == b"error":
            self._is_error = True

    def _see_data(self, text: bytes) -> None:
        self.may_end = text == _DONE
        told = b'"usage"' in text
        if told or b'"error"' in text:
            self._read(text, told=told)
        if b'"finish_reason"' in text and _FINISHED.search(text):
            self.may_end = True

    def _read(self, text: bytes, *, told: bool) -> None:
        try:
            document: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            return
        if not isinstance(document, dict):
            return
        self._is_error = self._is_error or says_error(document)
        tokens = first_number(document, self._paths) if told else None
        if tokens is None:
            return
        # Usage beside a choice that goes on is a running count.
        ends = not document.get("choices")
        self.may_end = self.may_end or ends
        if ends or _FINISHED.search(text):
            self._tokens, self._is_final = tokens, True
        else:
            self._runs(tokens)

    def _runs(self, tokens: int | None) -> None:
        """So much was used up to now; a count that falls is not believed."""
        if tokens is not None and tokens > (self.running_tokens or -1):
            self.running_tokens = tokens
