"""Log lines: one JSON object each for machines, text for a person at a terminal.

Refuses to show what looks like a secret, whoever logs it: a key of ours or of Stripe, the
password of an address, what stands behind `Authorization`, `Bearer`, `_token=` or `api_key`.
Nobody should log such a thing; this is for the day on which somebody does.
services/logs.py does the same for them.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

AUTO: Final = "auto"
TEXT: Final = "text"
JSON: Final = "json"
ACCESS: Final = "sluice.access"
BLOT: Final = "[secret]"
# A key has 60 characters; a cut one is still no business of a log. Names of ours are shorter.
_KEY_CHARACTERS: Final = 16
_OF_STRIPE: Final = r"(?:[sr]k_(?:live|test)|whsec)_\w+"
# The password of an address such as postgresql://user:password@host.
_IN_AN_ADDRESS: Final = r"(://[^/\s:@]*:)[^@\s/]+(?=@)"
# What every record has; all else was given by whoever logged, and is a field of the line.
_USUAL: Final = frozenset((*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"))


def log_to(stream: TextIO, name: str, form: str, key_prefix: str) -> None:
    """All that this process logs goes to the stream: warnings and worse, and the access log."""
    as_json = form == JSON or (form == AUTO and not stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter((JsonLines if as_json else TextLines)(name, key_prefix))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ACCESS).setLevel(logging.INFO)
    logging.captureWarnings(True)
    if as_json:
        sys.excepthook = lambda kind, error, trace: root.critical(
            "the process ends", exc_info=(kind, error, trace)
        )


class _Lines(logging.Formatter):
    """What both forms have in common."""

    def __init__(self, name: str, key_prefix: str) -> None:
        super().__init__(f"%(asctime)s {name} %(levelname)s %(name)s: %(message)s")
        self._name = name
        key = rf"{re.escape(key_prefix)}[0-9A-Za-z]{{{_KEY_CHARACTERS},}}"
        named = r"(?:authorization|_token|api_?key)[\"']?\s*[:=]\s*[\"']?"
        behind = rf"(?:bearer\s+|{named}(?:bearer\s+|basic\s+)?)"
        self._secret = re.compile(
            rf"{key}|{_OF_STRIPE}|(?i:({behind})[^\s&\"',;)}}\]]+)|{_IN_AN_ADDRESS}"
        )

    def blotted(self, text: str) -> str:
        """The text without what looks like a secret."""
        return self._secret.sub(lambda found: (found[1] or found[2] or "") + BLOT, text)


class TextLines(_Lines):
    """For a person."""

    def format(self, record: logging.LogRecord) -> str:
        """One entry; a trace makes it longer than a line."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        text = super().format(record)
        return self.blotted(f"{text} ({fields})" if fields else text)


class JsonLines(_Lines):
    """For a machine: time, level, logger, process, message, and what else was given."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "process": self._name,
            "message": self.blotted(record.getMessage()),
        }
        for name, value in _fields(record).items():
            plain = isinstance(value, int | float | bool | None)
            line[name] = value if plain else self.blotted(str(value))
        if record.exc_info:
            line["trace"] = self.blotted(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = self.blotted(record.stack_info)
        return json.dumps(line)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _USUAL}
