"""The OpenAPI 3.1 document of one deployment: the areas, the catalogue's limits, its addresses.

Refuses two operations at one place: the document could tell only one of them.
"""

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gateway.control.documents import refusals
from gateway.control.documents.areas import (
    billing,
    classifier,
    deepsearch,
    house,
    keys,
    ledger,
    reading,
    vectors,
)
from gateway.control.documents.operation import Answer, Body, Operation, Parameter
from gateway.control.documents.origins import Origins
from gateway.control.documents.shapes import Schema
from gateway.products.product import Catalogue, Counting, Family, Limits, Product

AREAS: Final = {
    "reader": "Reader: a page as Markdown",
    "search": "Search: the pages that answer a query",
    "deepsearch": "DeepSearch: research with citations",
    "vectors": "Embeddings, rerank, segment",
    "classifier": "Classifier",
    "keys": "Keys, balance, usage",
    "billing": "Billing and prices",
    "house": "Probes and documents",
    "dash": "Calls of older clients",
}
_DEFINED: Final = (reading, deepsearch, vectors, classifier, keys, ledger, billing, house)
OPERATIONS: Final[tuple[Operation, ...]] = tuple(
    operation for area in _DEFINED for operation in area.OPERATIONS
)
COUNTED: Final = {
    Counting.OUTPUT: "tokens of the output",
    Counting.SEARCH: "a fixed number per ten results, or the tokens of the pages if they are more",
    Counting.PROCESS: "all tokens of the whole process",
    Counting.INPUT: "tokens of the input",
    Counting.INPUT_TIMES_ITERATIONS: "tokens of the input times num_iters",
    Counting.FREE: "nothing: it is free",
}
VERSION: Final = "1"
_ABOUT: Final = """
    One key works for every product and has one balance of tokens. A failed request costs nothing;
    what a request cost is in `x-usage-tokens`. Limits hold in any 60 seconds (`x-rate-limits` of an
    operation); whichever of requests and tokens is reached first refuses with 429 and a
    `Retry-After`. Unknown fields are ignored, null is as good as absent.
"""


def build(catalogue: Catalogue, origins: Origins) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        path = operation.path if origins.named else operation.bare_path
        if path is None or not _offered(operation, catalogue):
            continue
        methods = paths.setdefault(path, {})
        assert operation.method.lower() not in methods, f"two at {operation.method} {path}"
        methods[operation.method.lower()] = _operation(operation, catalogue, origins)
    server = origins.of(["api"])[0]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice",
            "version": VERSION,
            "summary": "Reader, search, deepsearch, embeddings, rerank, classifier, segmenter",
            "description": inspect.cleandoc(_ABOUT),
        },
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "servers": [{"url": server}],
        "tags": [{"name": name, "description": text} for name, text in AREAS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "responses": refusals.responses(),
            "headers": refusals.metered_headers(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `POST /v1/keys`, the same for every product.",
                }
            },
        },
        "security": [{"key": []}],
        "x-hard-limits": hard_limits(catalogue),
    }


def schemas() -> dict[str, Schema]:
    """All schemas by name."""
    found: dict[str, Schema] = dict(refusals.SCHEMAS)
    for area in _DEFINED:
        assert not found.keys() & area.SCHEMAS.keys(), "a name twice"
        found |= area.SCHEMAS
    return found


def hard_limits(catalogue: Catalogue) -> dict[str, int]:
    """Limits that are the same for every tier."""
    limits = catalogue.limits
    return {name: getattr(limits, name) for name in limits.__slots__}


def rates(product: Product) -> dict[str, Any]:
    """What each tier may use in any 60 seconds."""
    tiers = {"anonymous": product.anonymous, "key": product.key, "premium": product.premium}
    return {name: "blocked" if tier is None else _rate(tier) for name, tier in tiers.items()}


def _rate(tier: Limits) -> dict[str, int]:
    rate = {"rpm": tier.rpm, "concurrency": tier.concurrency}
    return rate if tier.tpm is None else {**rate, "tpm": tier.tpm}


def _offered(operation: Operation, catalogue: Catalogue) -> bool:
    """An operator's catalogue may leave products out."""
    products = operation.products
    return not products or any(name in catalogue.products for name in products)


def _operation(operation: Operation, catalogue: Catalogue, origins: Origins) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.area],
        "summary": operation.title,
        "description": operation.text,
        "responses": _responses(operation),
        "security": _security(operation),
    }
    if origins.named:
        found["servers"] = [{"url": url} for url in origins.of(operation.labels)]
    if operation.parameters:
        found["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body is not None:
        found["requestBody"] = _body(operation.body)
    if operation.deprecated:
        found["deprecated"] = True
    products = [
        catalogue.products[name] for name in operation.products if name in catalogue.products
    ]
    if products:
        found["x-rate-limits"] = {each.name: rates(each) for each in products}
        found["x-token-counting"] = {each.name: COUNTED[each.counting] for each in products}
    return found


def _security(operation: Operation) -> list[dict[str, list[str]]]:
    """A key where one is needed; where it only raises the limits, either."""
    if operation.key:
        return [{"key": []}]
    wants = bool(operation.products) or operation.name in ("price", "read_index")
    return [{}, {"key": []}] if wants else []


def _parameter(each: Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": each.name, "in": each.place, "schema": each.schema}
    if each.text:
        found["description"] = each.text
    if each.needed:
        found["required"] = True
    if each.example is not None:
        found["example"] = each.example
    return found


def _body(body: Body) -> dict[str, Any]:
    examples = {name: {"value": value} for name, value in body.examples.items()}
    media: dict[str, Any] = {"schema": body.schema}
    first, *others = body.types
    with_examples = {**media, "examples": examples} if examples else media
    content = {first: with_examples} | dict.fromkeys(others, media)
    return {"required": body.needed, "content": content}


def _responses(operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status in operation.statuses:
        name = refusals.component(operation.family, status)
        found[str(status)] = {"$ref": f"#/components/responses/{name}"}
    for answer in operation.answers:
        found[str(answer.status)] = _answer(answer, _headers(operation))
    return dict(sorted(found.items()))


def _answer(answer: Answer, headers: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": answer.text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if answer.content:
        found["content"] = {kind: {"schema": schema} for kind, schema in answer.content.items()}
    return found


def _headers(operation: Operation) -> Sequence[str]:
    if not operation.products:
        return ("x-request-id",)
    older = refusals.OLDER if operation.family is Family.READER else ()
    return (*refusals.METERED, *older)
