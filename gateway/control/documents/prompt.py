"""Plain texts for language models: what there is (/llms.txt), and how to write code for it.

Refuses to say what the document or the catalogue does not: everything listed comes from them.
"""

import inspect
import json
from collections.abc import Iterator
from typing import Any, Final

from gateway.control.documents.building import AREAS, COUNTED, OPERATIONS, rates, schemas
from gateway.control.documents.operation import JSON, Operation
from gateway.control.documents.origins import Origins
from gateway.control.documents.shapes import Schema
from gateway.products.product import Catalogue, Product

KEY_NAME: Final = "SLUICE_API_KEY"
# What a model needs to write a program; the rest is in /openapi.json.
PRODUCTS: Final = ("reader", "search", "deepsearch", "vectors", "classifier")
_RULES: Final = """
    You write production code against the Sluice API, described below. Rules:

    1. Use the simplest way that answers the task: one call of one product if that is enough. Chain
       products only where no single one can do it; do not build what a product already does.
    2. The key is in the environment variable {key_name}. Never write a key into code, a URL, a log
       or a page; where the variable is read, leave the comment
       "a free trial key: curl -X POST {mint}".
    3. Send `Authorization: Bearer <key>` and `Accept: application/json` with every request
       (`text/event-stream` for a stream of reader or search). For JSON bodies send
       `Content-Type: application/json`.
    4. Call every product with POST and a JSON body, also where GET exists.
    5. Use only hosts, paths, fields and headers that stand below. Leave a field out rather than
       guess it. Fields of answers may grow: ignore those you do not know.
    6. Answers of reader and search are in `data`: a page is `response["data"]["content"]`, with
       `X-With-Links-Summary: true` its links are `response["data"]["links"]`; a search is a list
       in `response["data"]`. The other products answer without that wrapping: `response["data"]`
       is the list of embeddings and of classify, `response["results"]` that of rerank,
       `response["choices"][0]` the answer of deepsearch.
    7. Handle errors: look at the status before the body. 401 and 402 are for the person who runs
       the program: stop and say so. At 429 and 503 wait as long as the header Retry-After says,
       then repeat; at 408, 500, 502 and 504 wait longer each time, and give up after five tries.
       Repeat no other 4xx. A failed request costs nothing.
    8. Where a repetition would cost twice, send `Idempotency-Key` with one name for all tries.
    9. Set a timeout: 60 s; 200 s for reader and search; stream deepsearch.
    10. Keep within the limits below; send texts in batches of up to {inputs:,} inputs.
    11. `x-usage-tokens` of an answer is what it cost. To ask beforehand, POST the request as
        `{{"path": ..., "body": ...}}` to {price}. `X-Max-Charge: <tokens>` bounds a request.
    12. Embeddings and classification of texts need a text model, such as `jina-embeddings-v3`;
        pictures need a CLIP model out of {models}, where this deployment has one.
    13. Read streams event by event, skip lines that begin with a colon, and do not wait for
        `[DONE]`: a stream just ends.
    14. Give the whole program with its imports, so that it runs as it is.
"""


def llms(catalogue: Catalogue, origins: Origins) -> str:
    """`/llms.txt`: a title, a summary, and links with a line about each."""
    api = origins.of(["api"])[0]
    lines = ["# Sluice", ""]
    lines += [
        "> One key for reading web pages, searching, researching with citations, embeddings, "
        "reranking, classifying and segmenting texts. Prepaid tokens; failed requests are free.",
        "",
        f"Every call takes `Authorization: Bearer <key>`; `curl -X POST {api}/v1/keys` makes a "
        "free trial key. Reader and segmenter answer without one too, less often.",
        "",
        "## Documents",
        "",
        f"- [OpenAPI 3.1]({api}/openapi.json): every path, field, header and error",
        f"- [Meta prompt]({api}/meta-prompt.txt): rules, schemas and limits for writing code",
    ]
    for area, title in AREAS.items():
        lines += ["", f"## {title}", ""]
        lines += [_line(each, origins) for each in _in(area, catalogue, origins)]
    return "\n".join([*lines, "", "## Limits", "", *_limits(catalogue), ""])


def meta_prompt(catalogue: Catalogue, origins: Origins) -> str:
    """`/meta-prompt.txt`: paste it in front of a task."""
    api = origins.of(["api"])[0]
    rules = inspect.cleandoc(_RULES).format(
        key_name=KEY_NAME,
        mint=f"{api}/v1/keys",
        price=f"{api}/v1/price",
        models=f"{api}/v1/models",
        inputs=catalogue.limits.max_inputs_per_request,
    )
    lines = [rules, "", "# Products", ""]
    used: dict[str, None] = {}
    for area in PRODUCTS:
        for each in _in(area, catalogue, origins):
            lines += [*_told(each, origins), ""]
            used |= dict.fromkeys(_names(each))
    lines += ["# Schemas (JSON Schema)", ""]
    known = schemas()
    lines += [f"{name}: {_written(known[name])}" for name in _with_inner(used, known)]
    return "\n".join([*lines, "", "# Limits", "", *_limits(catalogue), ""])


def curl(operation: Operation, origins: Origins) -> str | None:
    """The first example of an operation as it can be pasted; None where there is none."""
    where = _where(operation, origins)
    sent = f"curl -sS -X {operation.method}" if operation.method != "GET" else "curl -sS"
    needs = operation.key or operation.products
    key = f' \\\n  -H "Authorization: Bearer ${KEY_NAME}"' if needs else ""
    body = operation.body
    if body is not None and body.examples:
        written = json.dumps(next(iter(body.examples.values())), ensure_ascii=False)
        quoted = written.replace("'", "'\\''")
        kind = " \\\n  -H 'Content-Type: application/json' -H 'Accept: application/json'"
        return f"{sent} {where}{key}{kind} \\\n  -d '{quoted}'"
    if body is not None and body.needed:
        return None
    for each in operation.parameters:
        if each.place == "path":
            where = where.replace("{" + each.name + "}", str(each.example))
    asked = [
        f"{e.name}={e.example}" for e in operation.parameters if e.place == "query" and e.example
    ]
    if asked:
        where += "?" + "&".join(asked).replace(" ", "%20")
    return f"{sent} '{where}'{key}"


def _in(area: str, catalogue: Catalogue, origins: Origins) -> Iterator[Operation]:
    for each in OPERATIONS:
        deployed = not each.products or any(name in catalogue.products for name in each.products)
        is_here = origins.named or each.bare_path is not None
        if each.area == area and deployed and is_here:
            yield each


def _where(operation: Operation, origins: Origins) -> str:
    path = operation.path if origins.named else operation.bare_path
    return f"{origins.of(operation.labels)[0]}{path}"


def _line(each: Operation, origins: Origins) -> str:
    return f"- `{each.method} {_where(each, origins)}`: {each.title}. {each.text}"


def _told(each: Operation, origins: Origins) -> Iterator[str]:
    yield f"## {each.title}"
    yield f"{each.method} {_where(each, origins)}"
    yield each.text
    if each.body is not None:
        yield f"Body: {_written(each.body.schema)}"
        for name, example in each.body.examples.items():
            yield f"Example ({name}): {json.dumps(example, ensure_ascii=False)}"
    asked = [f"{one.name} ({one.text or _written(one.schema)})" for one in each.parameters]
    if asked:
        yield "Parameters: " + "; ".join(asked)
    for answer in each.answers:
        if JSON in answer.content:
            yield f"Answer {answer.status} in JSON: {_written(answer.content[JSON])}"


def _limits(catalogue: Catalogue) -> Iterator[str]:
    yield "In any 60 seconds, whichever is reached first; without a key by address."
    yield ""
    for product in catalogue.products.values():
        told = [f"{tier} {_rate(rate)}" for tier, rate in rates(product).items()]
        yield f"- {product.name}: {'; '.join(told)}. Counted: {_counted(product)}."


def _counted(product: Product) -> str:
    least = f", at least {product.minimum_tokens:,}" if product.minimum_tokens else ""
    return COUNTED[product.counting] + least


def _rate(rate: Any) -> str:
    if isinstance(rate, str):
        return rate
    tokens = f" and {rate['tpm']:,} tokens" if "tpm" in rate else ""
    return f"{rate['rpm']:,} requests{tokens}"


def _written(schema: Schema) -> str:
    return json.dumps(schema, ensure_ascii=False).replace("#/components/schemas/", "")


def _names(operation: Operation) -> Iterator[str]:
    if operation.body is not None:
        yield from _referred(operation.body.schema)
    for answer in operation.answers:
        for schema in answer.content.values():
            yield from _referred(schema)


def _with_inner(names: dict[str, None], known: dict[str, Schema]) -> list[str]:
    """Also those that these refer to, each once."""
    found, left = dict[str, None](), list(names)
    while left:
        name = left.pop(0)
        if name not in found:
            found[name] = None
            left += _referred(known[name])
    return list(found)


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        place = node.get("$ref")
        if isinstance(place, str):
            yield place.rpartition("/")[2]
        for value in node.values():
            yield from _referred(value)
    elif isinstance(node, list):
        for value in node:
            yield from _referred(value)
