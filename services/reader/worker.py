"""The extraction worker: `python -m services.reader.worker`, jobs on stdin, outcomes on stdout.

Its memory is capped by the kernel, and its parent kills it when a page takes too long; it ends when
its parent is gone, when it is told nothing more, or when a page left it without memory.
"""

import argparse
import gc
import os
import resource
import signal
import sys
from typing import Any, BinaryIO, Final

from services.parent import die_with_parent
from services.reader.extract import Extractor
from services.reader.jobs import (
    FRAME_BYTES,
    LENGTHS,
    Failure,
    Job,
    Wishes,
    frame_head,
    outcome_head,
    read_job,
)
from services.tokenizer import DEFAULT, Tokenizer

# lxml and the converter recurse on deeply nested pages.
RECURSION: Final = 5000
# The libraries load their tables at their first page, which takes half a second: not a client's.
WARMING: Final = (
    b"<title>Warm</title><article><h1>Warm</h1><p>" + b"Some words. " * 50 + b"</article>"
)


def main() -> None:
    """Be a worker: read jobs from standard input until it ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    # Ctrl-C goes to the whole group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (arguments.memory_bytes, arguments.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(RECURSION)
    # Whatever a library prints must not end up between two frames.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    extractor = Extractor(Tokenizer(DEFAULT))
    extractor.extract(Job("", "text/html", "utf-8", Wishes()), WARMING)
    _serve(sys.stdin.buffer, sink, extractor)


def _serve(source: BinaryIO, sink: BinaryIO, extractor: Extractor) -> None:
    _write(sink, {"ready": True})
    while frame := _read_frame(source):
        try:
            outcome = extractor.extract(read_job(frame[0]), frame[1])
            _write(sink, outcome_head(outcome))
        except MemoryError:
            _write(sink, outcome_head(Failure("memory", "the page needs too much memory")))
            return
        except (ValueError, RuntimeError) as fault:
            # What parsers raise on pages that they cannot take. Anything else is a bug: it ends
            # this worker with its trace on stderr, and the page fails as a crash.
            _write(sink, outcome_head(Failure("crash", type(fault).__name__)))
        gc.collect(1)


def _read_frame(source: BinaryIO) -> tuple[bytes, bytes] | None:
    lengths = source.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head_bytes, body_bytes = LENGTHS.unpack(lengths)
    if head_bytes + body_bytes > FRAME_BYTES:
        return None
    return source.read(head_bytes), source.read(body_bytes)


def _write(sink: BinaryIO, head: dict[str, Any]) -> None:
    sink.write(frame_head(head))
    sink.flush()


if __name__ == "__main__":
    main()
