"""The conversation in `messages`: the question, what went before, and the files that came along.

It refuses what is no conversation that ends with a user's question, and attachments that are no
data URIs. Thoughts of earlier answers are left out. Pure.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.deepsearch.refusals import NO_MESSAGES, NOT_FROM_USER, bad, wrong
from services.deepsearch.research.mind import Turn

ROLES: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "assistant",
    "function": "assistant",
}
# A question is read whole many times over; what is longer is a document, and has its own place.
QUESTION_CHARACTERS: Final = 100_000
MESSAGES_MOST: Final = 1_000
FILES_MOST: Final = 20
FILE_NAME_CHARACTERS: Final = 200
THOUGHT: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
# Where a part of each type has its data URI.
PLACES: Final = {
    "image_url": ("image_url",),
    "image": ("image", "data", "url"),
    "input_image": ("image_url",),
    "file": ("file", "data", "file_data", "url"),
    "input_file": ("file_data", "data", "file"),
}
INNER: Final = ("url", "file_data", "data")


@dataclass(frozen=True, slots=True)
class File:
    """A file as it came: a data URI that nobody has looked into yet. `image`: it should be one."""

    uri: str
    name: str
    path: str
    image: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """The last message's text, the turns before it (system first), and all files."""

    question: str
    history: tuple[Turn, ...]
    files: tuple[File, ...]


def conversation(messages: object) -> Conversation:
    """The conversation. Raises AskError."""
    if not isinstance(messages, list) or not messages:
        raise bad(NO_MESSAGES)
    if len(messages) > MESSAGES_MOST:
        raise wrong("messages", f"messages must be at most {MESSAGES_MOST}")
    files: list[File] = []
    turns = [_turn(message, at, files) for at, message in enumerate(messages)]
    if turns[-1].role != "user":
        raise bad(NOT_FROM_USER)
    if len(files) > FILES_MOST:
        raise bad(f"A request may have at most {FILES_MOST} attachments")
    question = turns[-1].text.strip()
    if not question and not files:
        raise bad("Last message must not be empty")
    if len(question) > QUESTION_CHARACTERS:
        raise bad(
            f"The last message has more than {QUESTION_CHARACTERS:,} characters; "
            "send long texts as an attachment"
        )
    return Conversation(question, _history(turns[:-1]), tuple(files))


def _history(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """System messages as one in front, the others in their order, empty ones left out."""
    rules = "\n\n".join(turn.text for turn in turns if turn.role == "system" and turn.text)
    others = tuple(turn for turn in turns if turn.role != "system" and turn.text)
    return (Turn("system", rules), *others) if rules else others


def _turn(message: Any, at: int, files: list[File]) -> Turn:
    where = f"messages[{at}]"
    if not isinstance(message, dict):
        raise wrong(where, "A message must be an object")
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise wrong(f"{where}.role", f"role must be one of {', '.join(ROLES)}")
    content = message.get("content")
    if content is None:
        content = ""
    if isinstance(content, list):
        parts = [_part(p, f"{where}.content[{n}]", files) for n, p in enumerate(content)]
        content = "\n".join(_said(parts))
    if not isinstance(content, str):
        raise wrong(f"{where}.content", "content must be text or a list of parts")
    if ROLES[role] == "assistant":
        content = THOUGHT.sub("", content)
    return Turn(ROLES[role], content.strip())


def _said(parts: Iterable[str | None]) -> list[str]:
    return [part for part in parts if part]


def _part(part: Any, where: str, files: list[File]) -> str | None:
    """The text of a part, or None once its file is put down."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise wrong(where, "A part of a message must be an object")
    kind = part.get("type")
    if kind in ("text", "input_text", "output_text", "refusal"):
        text = part.get("text", part.get("refusal"))
        if text is not None and not isinstance(text, str):
            raise wrong(f"{where}.text", "text must be text")
        return text
    if not isinstance(kind, str) or kind not in PLACES:
        known = ", ".join(("text", *PLACES))
        raise wrong(f"{where}.type", f"type of a part must be one of {known}")
    uri, name = _found(part, PLACES[kind])
    if uri is None:
        raise wrong(where, f"A part of type {kind} must have a data URI")
    if uri[:5].lower() != "data:":
        raise wrong(where, "An attachment must be a data URI (data:<type>;base64,...)")
    files.append(File(uri, name[:FILE_NAME_CHARACTERS], where, image="image" in kind))
    return None


def _found(part: dict[str, Any], places: Sequence[str]) -> tuple[str | None, str]:
    """The data URI and the name of a part, wherever clients put them."""
    name = part.get("filename") or part.get("name") or ""
    for place in places:
        value = part.get(place)
        if isinstance(value, dict):
            name = value.get("filename") or value.get("name") or name
            value = next((value[n] for n in INNER if isinstance(value.get(n), str)), None)
        if isinstance(value, str) and value:
            kind = part.get("mimeType") or part.get("mediaType") or part.get("media_type")
            bare = value[:5].lower() != "data:" and "://" not in value[:12]
            if bare and isinstance(kind, str):
                value = f"data:{kind};base64,{value}"
            return value, name if isinstance(name, str) else ""
    return None, ""
