"""Undoes content encodings in bounded steps, so that a bomb costs no more than its cap. Pure.

It refuses broken streams with zlib.error.
"""

import zlib
from typing import Final

# Decompressed at once; about 1 ms of the loop.
INFLATE_BYTES: Final = 256 * 1024
# 16 is zlib's flag for a gzip wrapper; negative is a deflate stream without one.
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
ENCODINGS: Final = {"gzip": GZIP_WINDOW, "x-gzip": GZIP_WINDOW, "deflate": zlib.MAX_WBITS}


class Inflate:
    """Undoes a content encoding in bounded steps; passes bytes through when there is none."""

    def __init__(self, window: int | None) -> None:
        self._window = window
        self._stream = None if window is None else zlib.decompressobj(window)
        self._waiting = b""
        self._begun = False

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def feed(self, chunk: bytes) -> None:
        self._waiting += chunk

    def take(self) -> bytes:
        """At most INFLATE_BYTES of output; empty when more input is needed."""
        if self._stream is None:
            piece, self._waiting = self._waiting, b""
            return piece
        if not self._waiting or self._stream.eof:
            self._waiting = b""  # what follows the end of the stream is not part of the page
            return b""
        piece = self._step(self._stream)
        self._begun = True
        return piece

    def rest(self) -> bytes:
        """What the decoder still held when the input ended: less than one of its windows."""
        if self._stream is None or self._stream.eof:
            return b""
        return self._stream.decompress(b"", INFLATE_BYTES)

    @property
    def complete(self) -> bool:
        """Whether the stream came to its own end; an answer without a body has none."""
        return self._stream is None or self._stream.eof or not self._begun

    def _step(self, stream: "zlib._Decompress") -> bytes:
        try:
            piece = stream.decompress(self._waiting, INFLATE_BYTES)
        except zlib.error:
            if self._begun or self._window != zlib.MAX_WBITS:
                raise
            # Some servers send "deflate" without the wrapper that the standard asks for.
            stream = self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
            piece = stream.decompress(self._waiting, INFLATE_BYTES)
        self._waiting = stream.unconsumed_tail
        return piece
