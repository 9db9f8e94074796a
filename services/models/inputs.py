"""Texts and pictures in every form that clients send them: strings, objects, lists of both. Pure.

It refuses wrong types (422), more items than are taken and empty lists; it opens no picture.
"""

from dataclasses import dataclass
from typing import Any, Final

from services.fields import Fields, beyond, wrong

MOST_INPUTS: Final = 1_024
# What an object may carry; exactly one of them.
KINDS: Final = ("text", "image", "url", "bytes")
WEB: Final = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class PictureSource:
    """Where a picture comes from: an address, or base64 (a data: URL is base64 too)."""

    url: str | None
    base64: str

    @property
    def size_bytes(self) -> int:
        """How much of the request it is."""
        return len(self.base64 if self.url is None else self.url)


Item = str | PictureSource


def read_items(fields: Fields, name: str = "input", most: int = MOST_INPUTS) -> list[Item]:
    """The items of the field, at least one. Raises FieldError."""
    value = fields.needed(name)
    if not isinstance(value, list):
        return [read_item(value, (name,))]
    if not value:
        raise wrong((name,), "List should have at least 1 item", "too_short")
    if len(value) > most:
        message = f"{name} has {len(value)} items; at most {most} are taken"
        raise beyond((name,), "INPUT_TOO_MANY", message)
    return [read_item(item, (name, index)) for index, item in enumerate(value)]


def read_item(value: Any, where: tuple[str | int, ...]) -> Item:
    """A string, {text}, {image}, {url} or {bytes}. Raises FieldError."""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise wrong(where, "Input should be a string or an object", "string_type")
    given = [kind for kind in KINDS if value.get(kind) is not None]
    if not given and value.get("pdf") is not None:
        message = "pdf is not taken by the models of this deployment"
        raise beyond(where, "INPUT_NOT_SUPPORTED", message)
    if len(given) != 1:
        listed = ", ".join(KINDS)
        raise wrong(where, f"Input should have exactly one of: {listed}", "missing")
    [kind] = given
    content = value[kind]
    if not isinstance(content, str):
        raise wrong((*where, kind), "Input should be a valid string", "string_type")
    if kind == "text":
        return content
    return _picture(content, kind, (*where, kind))


def only_texts(items: list[Item], name: str) -> list[str]:
    """The items, none of which may be a picture. Raises FieldError."""
    texts = []
    for index, item in enumerate(items):
        if isinstance(item, PictureSource):
            raise beyond((name, index), "INPUT_IMAGE_NOT_SUPPORTED", "images are not taken here")
        texts.append(item)
    return texts


def _picture(content: str, kind: str, where: tuple[str | int, ...]) -> PictureSource:
    head = content[:16].lower()
    if head.startswith(WEB):
        return PictureSource(content, "")
    if kind == "url":
        raise wrong(where, "Input should be an http or https URL", "url_parsing")
    if head.startswith("data:"):
        before, comma, after = content.partition(",")
        if not comma or not before.lower().endswith(";base64"):
            raise wrong(where, "A data: URL should be in base64", "url_parsing")
        return PictureSource(None, after)
    return PictureSource(None, content)
