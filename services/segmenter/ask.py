"""One request to the segmenter: its fields, checked. Pure.

It refuses wrong types and ranges with the place of the mistake, and names the tokenizers it has.
Absent and null are the same; unknown fields are none of its business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from services import tokenizer
from services.api_refusals import Refusal, invalid
from services.segmenter.chunker import MAX_CHUNK_CHARACTERS

CONTENT_CHARACTERS: Final = 65_536
# Vocabularies that clients know by name, but whose ranks are not compiled in.
KNOWN_ELSEWHERE: Final = ("p50k_base", "r50k_base", "p50k_edit", "gpt2")
TRUE: Final = frozenset({"true", "1", "yes", "on"})
FALSE: Final = frozenset({"false", "0", "no", "off"})
INTEGER_MOST: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request. At most one of `head_tokens` and `tail_tokens` is set."""

    content: str
    tokenizer: str
    return_tokens: bool
    return_chunks: bool
    max_chunk_characters: int
    head_tokens: int | None
    tail_tokens: int | None


class _AskError(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def read(fields: Mapping[str, Any], place: str) -> Ask | Refusal:
    """The request in `fields`; `place` is `body` or `query`, for the words of a refusal."""
    try:
        return _read(_Fields(fields, place))
    except _AskError as fault:
        return fault.refusal


class _Fields:
    def __init__(self, fields: Mapping[str, Any], place: str) -> None:
        self._fields = fields
        self._place = place

    def content(self) -> str:
        value = self._fields.get("content")
        if value is None:
            raise self.mistake("content", "Field required", "missing")
        if not isinstance(value, str):
            raise self.mistake("content", "Input should be a valid string", "string_type")
        if tokenizer.sound(value) != value:
            message = "content has a lone surrogate, which is no character"
            raise self.mistake("content", message, "string_unicode")
        if len(value) > CONTENT_CHARACTERS:
            message = f"content has {len(value)} characters; at most {CONTENT_CHARACTERS} are taken"
            raise _AskError(Refusal(400, "INPUT_TOO_LONG", message, (self._place, "content")))
        return value

    def tokenizer(self) -> str:
        value = self._fields.get("tokenizer")
        if value is None or value == "":
            return tokenizer.DEFAULT
        if not isinstance(value, str):
            raise self.mistake("tokenizer", "Input should be a valid string", "string_type")
        if value not in tokenizer.AVAILABLE:
            why = "not available on this deployment" if value in KNOWN_ELSEWHERE else "unknown"
            listed = ", ".join(tokenizer.AVAILABLE)
            message = f"Tokenizer {value[:40]!r} is {why}; available: {listed}"
            where = (self._place, "tokenizer")
            raise _AskError(Refusal(400, "INPUT_TOKENIZER_NOT_FOUND", message, where))
        return value

    def switch(self, name: str) -> bool:
        value = self._fields.get(name)
        if value is None or value == "":
            return False
        word = value.strip().lower() if isinstance(value, str) else str(value).lower()
        if isinstance(value, str | bool | int) and word in TRUE | FALSE:
            return word in TRUE
        raise self.mistake(name, "Input should be a valid boolean", "bool_parsing")

    def count(self, name: str) -> int | None:
        value = self._fields.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
            value = int(value.strip()[:12])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.mistake(name, "Input should be a valid integer", "int_parsing")
        if not 1 <= value <= INTEGER_MOST:
            message = "Input should be greater than or equal to 1"
            raise self.mistake(name, message, "greater_than_equal")
        return value

    def mistake(self, name: str, message: str, kind: str) -> _AskError:
        return _AskError(invalid((self._place, name), message, kind))


def _read(fields: _Fields) -> Ask:
    ask = Ask(
        content=fields.content(),
        tokenizer=fields.tokenizer(),
        return_tokens=fields.switch("return_tokens"),
        return_chunks=fields.switch("return_chunks"),
        max_chunk_characters=fields.count("max_chunk_length") or MAX_CHUNK_CHARACTERS,
        head_tokens=fields.count("head"),
        tail_tokens=fields.count("tail"),
    )
    if ask.head_tokens is not None and ask.tail_tokens is not None:
        raise fields.mistake("tail", "head and tail exclude each other", "value_error")
    return ask
