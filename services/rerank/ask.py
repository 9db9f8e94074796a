"""One request to rerank: its fields, checked. Pure.

It refuses wrong types and ranges with the place of the mistake, and pictures.
"""

from dataclasses import dataclass
from typing import Any

from services.fields import Fields, beyond, wrong
from services.models.inputs import PictureSource, only_texts, read_item, read_items


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request. `texts` are those of `documents`, which are answered as objects."""

    model: str | None
    query: str
    texts: list[str]
    documents: list[dict[str, Any]]
    most: int
    return_documents: bool
    truncate: bool


def read(fields: Fields) -> Ask:
    """The request in the body. Raises FieldError."""
    model = fields.text("model")
    query = read_item(fields.needed("query"), ("query",))
    if isinstance(query, PictureSource):
        raise beyond(("query",), "INPUT_IMAGE_NOT_SUPPORTED", "images are not taken here")
    given = fields.needed("documents")
    if not isinstance(given, list):
        raise wrong(("documents",), "Input should be a valid list", "list_type")
    texts = only_texts(read_items(fields, "documents"), "documents")
    most = fields.whole("top_n", 1)
    return Ask(
        model=model,
        query=query,
        texts=texts,
        documents=[{"text": item} if isinstance(item, str) else item for item in given],
        most=len(texts) if most is None else min(most, len(texts)),
        return_documents=fields.switch("return_documents", True),
        truncate=fields.switch("truncate", False) or fields.switch("truncation", False),
    )
