"""The page /docs: the definition laid out for people, by area, operation and schema.

Refuses to say anything of its own about the API: its words are the frame's, in four languages.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway.control.documents import building, prompt, refusals
from gateway.control.documents.areas.reader_options import OPTIONS
from gateway.control.documents.operation import METERED, Operation, Parameter
from gateway.control.documents.origins import Origins, origins_of
from gateway.control.documents.shapes import Schema
from gateway.control.web.cookies import is_secure
from gateway.control.web.texts import Texts
from gateway.control.web.visit import Visit
from gateway.products.product import Catalogue, Product

FOLDER: Final = Path(__file__).resolve().parent / "texts"
Data = dict[str, Any]
# The reader's options and what every metered call takes stand once, not at each operation.
_SHARED: Final = frozenset(name for name, *_ in OPTIONS)
_METERED: Final = frozenset(one.name for one in METERED)
_BODY_SHARED: Final = frozenset(field for _, field, *_ in OPTIONS if field)


@dataclass(frozen=True, slots=True)
class Reference:
    """The page's data; the words of the frame are read once."""

    texts: Texts

    async def page(self, visit: Visit) -> Data:
        """For `docs.html`."""
        parts = visit.parts
        host = visit.exchange.headers.get("Host", "")
        origins = origins_of(host, parts.settings.domain, secure=is_secure(visit.exchange))
        return {
            "d": self.texts.of(self.texts.known(visit.language) or "en"),
            **laid_out(parts.catalogue.now, origins),
        }


def laid_out(catalogue: Catalogue, origins: Origins) -> Data:
    """Everything but the frame."""
    areas = []
    for area, title in building.AREAS.items():
        found = [_operation(each, catalogue, origins) for each in _in(area, catalogue, origins)]
        if found:
            areas.append({"name": area, "title": title, "operations": found})
    return {
        "areas": areas,
        "options": [
            {"name": name, "field": field, "type": written(schema), "text": pieces(text)}
            for name, field, schema, text in OPTIONS
        ],
        "schemas": [
            {"name": name, "text": pieces(str(schema.get("description", ""))), **_shape(schema)}
            for name, schema in sorted(building.schemas().items())
            # Codes have a table of their own, and what is sent stands at its operation.
            if name != "ErrorCode" and not name.endswith("Request")
        ],
        "codes": [
            {"code": code, "status": status, "text": pieces(text)}
            for code, (status, text) in refusals.CODES.items()
        ],
        "metered": [_parameter(one) for one in METERED],
        "headers": [
            {"name": name, "text": pieces(each["description"])}
            for name, each in refusals.metered_headers().items()
        ],
        "api": origins.of(["api"])[0],
    }


def pieces(text: str) -> list[tuple[bool, str]]:
    """A text with its `code` told apart: whether it is code, and what it says."""
    return [(place % 2 == 1, part) for place, part in enumerate(text.split("`")) if part]


def written(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(written(each) for each in schema["anyOf"]))
    if "const" in schema:
        return _quoted(schema["const"])
    if "enum" in schema:
        return " | ".join(_quoted(each) for each in schema["enum"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(written({**schema, "type": each}) for each in kind)
    if kind == "array":
        return f"[{written(schema.get('items', {}))}]"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"{{name: {written(schema['additionalProperties'])}}}"
    return f"{kind}{_bounds(schema)}" if kind in ("integer", "number") else str(kind)


def _bounds(schema: Schema) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None and most is None:
        return ""
    return f" ≥ {least:,}" if most is None else f" {least or 0:,} to {most:,}"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def _in(area: str, catalogue: Catalogue, origins: Origins) -> Iterator[Operation]:
    for each in building.OPERATIONS:
        deployed = not each.products or any(name in catalogue.products for name in each.products)
        if each.area == area and deployed and (origins.named or each.bare_path is not None):
            yield each


def _operation(each: Operation, catalogue: Catalogue, origins: Origins) -> Data:
    path = each.path if origins.named else each.bare_path
    products = [catalogue.products[name] for name in each.products if name in catalogue.products]
    own = [one for one in each.parameters if one.name not in _SHARED | _METERED]
    body = each.body
    return {
        "id": each.name,
        "method": each.method,
        "url": f"{origins.of(each.labels)[0]}{path}",
        "path": path,
        "title": each.title,
        "text": pieces(each.text),
        "key": "needed" if each.key else "optional" if products else "none",
        "deprecated": each.deprecated,
        "limits": [_limits(product) for product in products],
        "parameters": [_parameter(one) for one in own],
        "shared": any(one.name in _SHARED for one in each.parameters),
        "metered": [one.name for one in each.parameters if one.name in _METERED],
        "body": None if body is None else _shape(_resolved(body.schema), without=_BODY_SHARED),
        "types": () if body is None else body.types,
        "curl": prompt.curl(each, origins),
        "answers": [
            {
                "status": answer.status,
                "text": pieces(answer.text),
                "kinds": [(kind, written(schema)) for kind, schema in answer.content.items()],
            }
            for answer in each.answers
        ],
        "refusals": list(each.statuses),
        "envelope": refusals.ENVELOPES[each.family],
    }


def _limits(product: Product) -> Data:
    return {
        "product": product.name,
        "counts": building.COUNTED[product.counting],
        "tiers": building.rates(product),
    }


def _parameter(one: Parameter) -> Data:
    return {
        "name": one.name,
        "place": one.place,
        "type": written(one.schema),
        "needed": one.needed,
        "text": pieces(one.text),
    }


def _resolved(schema: Schema) -> Schema:
    """The schema behind a reference."""
    if "$ref" in schema:
        return building.schemas()[str(schema["$ref"]).rpartition("/")[2]]
    return schema


def _shape(schema: Mapping[str, Any], without: frozenset[str] = frozenset()) -> Data:
    """The fields of an object, or what else it is."""
    fields = schema.get("properties")
    if not isinstance(fields, dict):
        return {"fields": [], "type": written(dict(schema))}
    needed = schema.get("required", ())
    rows = [
        {
            "name": name,
            "type": written(each),
            "needed": name in needed,
            "text": pieces(str(each.get("description", ""))),
        }
        for name, each in fields.items()
        if name not in without
    ]
    return {"fields": rows, "type": ""}
