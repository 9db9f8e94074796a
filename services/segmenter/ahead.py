"""What lies ahead in a text, found once each, for a scanner that only goes forward. Pure.

It refuses to look back: asking for a place before the last one asked for is a bug.
"""

import re
from typing import Final

CLOSERS: Final = "\"'”’»)\\]}）】》」』〉"
EMOJI: Final = "\U0001f1e6-\U0001f1ff\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55\ufe0f"
# A full stop of a script without spaces ends a sentence at once, the others before a space.
SENTENCE_END: Final = re.compile(
    rf"[。！？；｡]+[{CLOSERS}]*|(?:[.!?…]+[{CLOSERS}]*|[{EMOJI}]+)(?=\s|\Z)"
)
BLANK_LINE: Final = re.compile(r"\n[ \t\r\f\v]*(?=\n|\Z)")


class Ahead:
    """The next end of a line, a sentence and a paragraph from a place that only moves forward.

    Each is looked for once and kept until the place has passed it, so that however often it is
    asked for, the text is read once.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._line_end = -1
        self._paragraph_end = -1
        self._stop_start = -1
        self._stop_end = -1

    def line_end(self, place: int) -> int:
        """Index of the newline that ends the line of `place`, or the length of the text."""
        if place > self._line_end:
            found = self._text.find("\n", place)
            self._line_end = len(self._text) if found < 0 else found
        return self._line_end

    def paragraph_end(self, place: int) -> int:
        """Index of the newline before the next blank line, or the length of the text."""
        if place > self._paragraph_end:
            found = BLANK_LINE.search(self._text, place)
            self._paragraph_end = len(self._text) if found is None else found.start()
        return self._paragraph_end

    def sentence_end(self, place: int) -> int:
        """Where the first sentence that ends after `place` does; beyond the text if none does."""
        if place > self._stop_start:
            found = SENTENCE_END.search(self._text, place)
            beyond = len(self._text) + 1
            self._stop_start = beyond if found is None else found.start()
            self._stop_end = beyond if found is None else found.end()
        return self._stop_end
