"""What a model sends back: whole or as events, right or wrong. Pure.

It refuses (BrokenError) what is no chat completion: HTML, JSON that is cut, a stream without its
end. JSON that a model wrote itself is read leniently: fences and words around it are passed over.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

THOUGHT: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
FENCED: Final = re.compile(r"```(?:json|JSON)?\s*\n(.*?)```", re.DOTALL)
# Text of one answer; a model that writes more is out of control.
TEXT_CHARACTERS: Final = 200_000
# Braces that are tried as the beginning of an object.
CANDIDATES: Final = 8


class BrokenError(Exception):
    """This is not the answer of a chat model; the text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `usage` is (prompt, completion) as the server counts, None where it does not."""

    text: str
    usage: tuple[int, int] | None
    cut: bool


def whole(body: bytes) -> Said:
    """A body that is one completion. Raises BrokenError."""
    document = _object(body)
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise BrokenError("no choices")
    message = choices[0].get("message")
    content = message.get("content") if isinstance(message, dict) else None
    text = _text(content)
    if text is None:
        raise BrokenError("no text")
    reason = choices[0].get("finish_reason")
    return Said(_clean(text), usage_of(document), reason == "length")


class Events:
    """Follows a stream of chunks. `feed` takes bytes as they come; raises BrokenError."""

    def __init__(self) -> None:
        self._line = b""
        self._parts: list[str] = []
        self.characters = 0
        self._reason: str | None = None
        self._usage: tuple[int, int] | None = None
        self.ended = False

    @property
    def text(self) -> str:
        """What has been said so far."""
        return "".join(self._parts)

    def feed(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._see(line.strip())
        if len(self._line) > TEXT_CHARACTERS * 4:
            raise BrokenError("a line without an end")

    def said(self) -> Said:
        """The whole, once the stream is over."""
        if self._line.strip():
            self._see(self._line.strip())
        if self._reason is None and not self.ended:
            raise BrokenError("the stream broke off")
        return Said(_clean(self.text), self._usage, self._reason == "length")

    def _see(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            if line[:1] in (b"<", b"{") and not self._parts:
                raise BrokenError("no events")
            return
        payload = line[5:].strip()
        if payload == b"[DONE]":
            self.ended = True
            return
        document = _object(payload)
        if document.get("error"):
            raise BrokenError("an error in the stream")
        self._usage = usage_of(document) or self._usage
        choices = document.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        delta = choices[0].get("delta")
        text = _text(delta.get("content")) if isinstance(delta, dict) else None
        if text:
            self.characters += len(text)
            self._parts.append(text)
        reason = choices[0].get("finish_reason")
        if isinstance(reason, str) and reason:
            self._reason = reason


def usage_of(document: Mapping[str, Any]) -> tuple[int, int] | None:
    """Prompt and completion tokens, where both are plain numbers."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(prompt) is not int or type(completion) is not int or min(prompt, completion) < 0:
        return None
    return prompt, completion


def json_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a model wrote, whatever stands around it; None if there is none."""
    for candidate in _candidates(text):
        try:
            found = orjson.loads(candidate)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            return found
    return None


def _candidates(text: str) -> Iterator[str]:
    yield text
    yield from (found[1] for found in FENCED.finditer(text))
    end = text.rfind("}") + 1
    at = -1
    for _ in range(CANDIDATES):
        at = text.find("{", at + 1)
        if not 0 <= at < end:
            return
        yield text[at:end]


def _object(raw: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BrokenError("no JSON") from None
    if not isinstance(document, dict):
        raise BrokenError("no JSON object")
    return document


def _text(content: object) -> str | None:
    """Text, also where a server sends it in parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") for part in content if isinstance(part, dict)]
    return "".join(part for part in parts if isinstance(part, str))


def _clean(text: str) -> str:
    """Without the model's own thoughts, and never endless."""
    return THOUGHT.sub("", text[:TEXT_CHARACTERS]).strip()
