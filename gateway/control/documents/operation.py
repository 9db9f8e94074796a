"""One operation of the public API as it is defined: where, who may, what goes in, what comes out.

Refuses to know a deployment: hosts are labels here, limits are the catalogue's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.control.documents.shapes import Schema, told
from gateway.products.product import Family

JSON: Final = "application/json"
TEXT_PLAIN: Final = "text/plain"
EVENTS: Final = "text/event-stream"
FORM: Final = "application/x-www-form-urlencoded"
MULTIPART: Final = "multipart/form-data"

# What any request may be told, whatever it is for: bytes that are no HTTP, a head that is too
# large or too slow, a bug, a store that is away.
ANY: Final = (400, 408, 431, 500, 503)
KEYED: Final = (401, 402)
WITH_BODY: Final = (413, 415, 422)


@dataclass(frozen=True, slots=True)
class Parameter:
    """Of a path, the query or the head."""

    name: str
    place: str
    schema: Schema
    text: str
    needed: bool = False
    example: Any = None


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent: a schema per content type, and examples by name that work as pasted."""

    schema: Schema
    examples: Mapping[str, Any] = field(default_factory=dict)
    types: tuple[str, ...] = (JSON,)
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is no refusal: a schema per content type."""

    text: str
    content: Mapping[str, Schema]
    # A redirect, or what is passed on while Redis is away, is no 200.
    status: int = 200


@dataclass(frozen=True, slots=True)
class Operation:
    """A method at a path. `labels` are the hosts that have it, `bare` its path on a bare host.

    `products` are those of the catalogue that it leads to. A key may be sent everywhere; `key` says
    whether it must be.
    """

    name: str
    method: str
    path: str
    area: str
    title: str
    text: str
    answers: tuple[Answer, ...]
    refusals: tuple[int, ...] = ()
    labels: tuple[str, ...] = ("api",)
    bare: str | None = ""
    key: bool = False
    products: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    family: Family = Family.API
    deprecated: bool = False

    @property
    def bare_path(self) -> str | None:
        """Its path on a bare host; None: it is not there."""
        return self.path if self.bare == "" else self.bare

    @property
    def statuses(self) -> tuple[int, ...]:
        """Every status of a refusal, in order."""
        found = {*ANY, *self.refusals}
        if self.key or self.products:
            found |= set(KEYED)
        if self.body is not None:
            found |= set(WITH_BODY)
        return tuple(sorted(found))


def path_parameter(name: str, text: str, example: str, schema: Schema | None = None) -> Parameter:
    """A segment of the path."""
    return Parameter(
        name, "path", schema or {"type": "string", "minLength": 1}, text, True, example
    )


def query(name: str, schema: Schema, text: str, example: Any = None) -> Parameter:
    """A parameter of the query that may be left out."""
    return Parameter(name, "query", schema, text, False, example)


def header(name: str, schema: Schema, text: str, example: Any = None) -> Parameter:
    """A header that may be left out."""
    return Parameter(name, "header", schema, text, False, example)


def json_answer(schema: Schema, text: str, status: int = 200) -> Answer:
    """An answer in JSON."""
    return Answer(text, {JSON: schema}, status)


REPEAT: Final = header(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    "Your own name for this deed. Repeated with the same name and the same request, it is done and "
    "charged once; the second answer has `idempotent-replayed: true`.",
)
MAX_CHARGE: Final = header(
    "X-Max-Charge",
    {"type": "integer", "minimum": 0, "maximum": 1_000_000_000_000_000},
    "The most tokens that this request may cost. What surely costs more is refused with 400.",
)
DRY_RUN: Final = header(
    "Prefer",
    told({"type": "string"}, "`dry-run`"),
    "With `dry-run` nothing is done: the answer tells what the request would cost (see `Price`).",
)
# Every metered operation takes these.
METERED: Final = (REPEAT, MAX_CHARGE, DRY_RUN)
