"""One request for embeddings: its fields, checked. Pure.

It refuses wrong types and ranges with the place of the mistake; what a model cannot do at all
(several vectors for one text) is refused too, not ignored.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from services.fields import Fields, beyond, wrong
from services.models.inputs import Item, read_items

TYPES: Final = ("float", "base64", "binary", "ubinary")
# What openai-python sends; the same words mean the same.
FORMATS: Final = ("float", "base64")


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request. `types` has one name, or several where `keyed`: an object by type."""

    model: str | None
    items: list[Item]
    dimensions: int | None
    normalized: bool
    late_chunking: bool
    truncate: bool
    types: tuple[str, ...]
    keyed: bool


def read(fields: Fields, dimension: Callable[[str | None], int]) -> Ask:
    """The request in the body; `dimension` tells the width of a model. Raises FieldError."""
    model = fields.text("model")
    items = read_items(fields)
    fields.text("task")
    if fields.switch("return_multivector", False):
        message = "return_multivector is not offered by the models of this deployment"
        raise beyond(("return_multivector",), "INPUT_NOT_SUPPORTED", message)
    types, keyed = _types(fields)
    return Ask(
        model=model,
        items=items,
        dimensions=fields.whole("dimensions", 1, dimension(model)),
        normalized=fields.switch("normalized", True),
        late_chunking=fields.switch("late_chunking", False),
        truncate=fields.switch("truncate", False),
        types=types,
        keyed=keyed,
    )


def _types(fields: Fields) -> tuple[tuple[str, ...], bool]:
    value = fields.given("embedding_type")
    if value is None:
        return (fields.choice("encoding_format", FORMATS) or "float",), False
    if not isinstance(value, list):
        return (fields.choice("embedding_type", TYPES) or "float",), False
    if not value or any(not isinstance(name, str) or name not in TYPES for name in value):
        message = f"Input should be one or several of: {', '.join(TYPES)}"
        raise wrong(("embedding_type",), message, "enum")
    return tuple(dict.fromkeys(value)), True
