"""Words to the person at the terminal: one line at a time, never buffered.

Refuses to fail when nobody listens any more: a closed terminal must not stop the gateway.
"""

import contextlib
import sys


def say(text: str) -> None:
    """A line on stdout."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def complain(text: str) -> None:
    """A line on stderr, marked as ours among those of the children."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"sluice: {text}\n")
        sys.stderr.flush()
