"""Finds a few top-level fields of a JSON body without building it, in slices of bounded time.

1. White space, keys and small values of the top level are read one by one.
2. What is below the top level is skipped by one regular expression as far as it is flat; each
   bracket that is not costs one round in Python, and long strings one `find`.
3. After a fixed amount of work the scan pauses, so that a large body never holds the event loop.

Refuses to validate: a body that is no JSON may pass here, and the service refuses it. It refuses a
root that is no object, nesting beyond 512, and more than 200,000 brackets that nest: no client
of these products needs them, and reading them would cost more than the request.
"""

import re
from collections.abc import Generator, Mapping
from enum import Enum
from typing import Final

import orjson

from gateway.edge.refusals import body_unreadable
from gateway.errors import Problem
from gateway.record import record
from gateway.units import KIB

MAX_DEPTH: Final = 512
MAX_ROUNDS: Final = 200_000
# Work before a pause. At the worst 512 KiB of the densest JSON take 15 ms, 8,000 rounds 10 ms.
_SLICE_BYTES: Final = 512 * KIB
_SLICE_ROUNDS: Final = 8_000
# A wanted name of 25 letters, each spelled \u0061, has 150 bytes.
_MAX_KEY_BYTES: Final = 256
_MAX_VALUE_BYTES: Final = 256

# No text is ever read in two ways: what repeats is possessive or atomic. Groups are atomic,
# `(?>(?:...)*)` for `(?:...)*+`, which Python 3.11.2 (Debian 12) matches wrongly.
_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_KEY: Final = re.compile(rb'"((?>(?:[^"\\]|\\.){0,%d}))"' % _MAX_KEY_BYTES, re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+.0-9A-Za-z]{1,%d}+" % _MAX_VALUE_BYTES)
_STRING_REST: Final = re.compile(rb'[^"\\]*+(?>(?:\\.[^"\\]*+)*)', re.DOTALL)
# Strings of a usual length without many escapes; a longer one stops the run and costs one round.
_STRING: Final = rb'"[^"\\]{0,200}+(?>(?:\\.[^"\\]{0,100}+){0,8})"'
_BETWEEN: Final = rb'[^"\[\]{}]*+'
_FLAT: Final = _BETWEEN + rb"(?>(?:" + _STRING + _BETWEEN + rb")*)"
_RUN: Final = re.compile(_FLAT + rb"(?>(?:[\[{]" + _FLAT + rb"[\]}]" + _FLAT + rb")*)", re.DOTALL)


class Large(Enum):
    """A wanted field whose value is not small: present, but not read."""

    TEXT = "text"
    ARRAY = "array"
    OBJECT = "object"


Value = int | float | str | bool | Large | None


@record
class Scanned:
    """The wanted fields that stand at the top level; of a repeated one the last."""

    fields: Mapping[str, object]

    def has(self, name: str) -> bool:
        """Whether the field is there with something else than null."""
        return self.fields.get(name) is not None

    def integer(self, name: str) -> int | None:
        """The whole number of a field; None if it is absent or something else."""
        value = self.fields.get(name)
        if isinstance(value, float) and value.is_integer():
            return int(value)  # 10.0, and what is too large for 64 bits
        return value if isinstance(value, int) and not isinstance(value, bool) else None


NOTHING_SCANNED: Final = Scanned({})


class BodyScan:
    """A scan that pauses: call `step` until it answers, and let others run in between."""

    def __init__(self, body: bytes, wanted: frozenset[str]) -> None:
        self._body = body
        self._wanted = wanted
        self._position = 0
        self._rounds = 0
        self._slice_rounds = 0
        self._slice_start = 0
        self._run = self._object()

    def step(self) -> Scanned | Problem | None:
        """Work for at most some 25 ms, mostly far less; None means that there is more to do."""
        self._slice_rounds = 0
        self._slice_start = self._position
        try:
            next(self._run)
        except StopIteration as done:
            result: Scanned | Problem = done.value
            return result
        except _UnreadableError as unreadable:
            return body_unreadable(str(unreadable))
        return None

    def _object(self) -> Generator[None, None, Scanned]:
        fields: dict[str, Value] = {}
        yield from self._space()
        if self._next() != b"{":
            raise _UnreadableError("it must be a JSON object")
        self._position += 1
        yield from self._space()
        if self._next() == b"}":
            self._position += 1
        else:
            yield from self._members(fields)
        yield from self._space()
        if self._position < len(self._body):
            raise _UnreadableError(f"something follows its end at byte {self._position}")
        return Scanned(fields)

    def _members(self, fields: dict[str, Value]) -> Generator[None, None, None]:
        while True:
            if self._pause_due():
                yield
            name = yield from self._name()
            yield from self._expect(b":")
            yield from self._space()
            value = yield from self._value()
            if name in self._wanted:
                fields[name] = value
            yield from self._space()
            mark = self._next()
            self._position += 1
            if mark == b"}":
                return
            if mark != b",":
                raise _UnreadableError(
                    f"a comma or a brace is missing at byte {self._position - 1}"
                )
            yield from self._space()

    def _name(self) -> Generator[None, None, str]:
        match = _KEY.match(self._body, self._position)
        if match is not None:
            self._position = match.end()
            return _text(match[0]) or ""
        if self._next() != b'"':
            raise _UnreadableError(f"a field name is missing at byte {self._position}")
        yield from self._string()
        return ""  # longer than any wanted name

    def _value(self) -> Generator[None, None, Value]:
        first = self._next()
        if first == b'"':
            start = self._position
            yield from self._string()
            raw = self._body[start : min(self._position, start + _MAX_VALUE_BYTES)]
            text = _text(raw) if self._position - start <= _MAX_VALUE_BYTES else None
            return Large.TEXT if text is None else text
        if first in (b"[", b"{"):
            yield from self._container()
            return Large.ARRAY if first == b"[" else Large.OBJECT
        match = _SCALAR.match(self._body, self._position)
        if match is None:
            raise _UnreadableError(f"a value is missing at byte {self._position}")
        self._position = match.end()
        return _scalar(match[0])

    def _container(self) -> Generator[None, None, None]:
        """From an opening bracket to behind the one that closes it."""
        body, depth = self._body, 0
        while True:
            if self._pause_due():
                yield
            mark = self._next()
            if mark == b'"':
                yield from self._string()
            elif mark in (b"[", b"{"):
                depth += 1
                self._position += 1
                if depth > MAX_DEPTH:
                    raise _UnreadableError(f"it is nested deeper than {MAX_DEPTH}")
            elif mark in (b"]", b"}"):
                depth -= 1
                self._position += 1
                if depth == 0:
                    return
            elif not mark:
                raise _UnreadableError("it ends too early")
            match = _RUN.match(body, self._position, self._slice_start + _SLICE_BYTES)
            if match is not None:
                self._position = match.end()

    def _string(self) -> Generator[None, None, None]:
        """From a quote to behind the one that closes it."""
        start = self._position + 1
        end = self._body.find(b'"', start)
        if end < 0:
            raise _UnreadableError("a text in it does not end")
        if self._body[end - 1 : end] != b"\\":
            self._position = end + 1
            return
        position = start
        while True:
            limit = position + _SLICE_BYTES
            match = _STRING_REST.match(self._body, position, limit)
            position = position if match is None else match.end()
            if self._body[position : position + 1] == b'"':
                self._position = position + 1
                return
            if limit >= len(self._body):
                raise _UnreadableError("a text in it does not end")
            self._slice_start = position
            yield

    def _space(self) -> Generator[None, None, None]:
        while self._body[self._position : self._position + 1] in (b" ", b"\n", b"\r", b"\t"):
            limit = self._position + _SLICE_BYTES
            match = _SPACE.match(self._body, self._position, limit)
            assert match is not None, "the pattern matches nothing too"
            self._position = match.end()
            if self._position == limit:
                yield

    def _expect(self, mark: bytes) -> Generator[None, None, None]:
        yield from self._space()
        if self._next() != mark:
            raise _UnreadableError(f"{mark.decode()} is missing at byte {self._position}")
        self._position += 1

    def _next(self) -> bytes:
        return self._body[self._position : self._position + 1]

    def _pause_due(self) -> bool:
        self._rounds += 1
        self._slice_rounds += 1
        if self._rounds > MAX_ROUNDS:
            raise _UnreadableError(f"it has more than {MAX_ROUNDS} fields and nested brackets")
        return (
            self._slice_rounds >= _SLICE_ROUNDS
            or self._position >= self._slice_start + _SLICE_BYTES
        )


class _UnreadableError(Exception):
    """The body cannot be read, and why."""


def scan(body: bytes, wanted: frozenset[str]) -> Scanned | Problem:
    """The wanted fields of a body, without a pause: for bodies up to 1 MiB, or off the loop."""
    scanning = BodyScan(body, wanted)
    while (result := scanning.step()) is None:
        pass
    return result


def _text(raw: bytes) -> str | None:
    """The text of a short JSON string with its quotes; None if it is not valid."""
    try:
        text = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return text if isinstance(text, str) else None


def _scalar(raw: bytes) -> Value:
    try:
        value: Value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise _UnreadableError(f"{raw[:40].decode('ascii')} is no JSON value") from None
    return value
