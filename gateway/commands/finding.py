"""What one check of `sluice doctor` found: a line, and for what is wrong what to do about it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` in two or three words, `text` one sentence: a fact, or what to do."""

    ok: bool
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.ok else 'WRONG'}  {self.subject}: {self.text}"


def fine(subject: str, text: str) -> Finding:
    """Nothing to do."""
    return Finding(True, subject, text)


def wrong(subject: str, text: str) -> Finding:
    """Something to do, named in `text`."""
    return Finding(False, subject, text)
