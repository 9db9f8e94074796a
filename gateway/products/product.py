"""Records of the catalogue: a product, its limits per tier, its rules.

Refuses to validate: `reading` does that, so that whoever holds a record may trust it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Family(StrEnum):
    """The envelope in which a client of this host expects its errors (wire contract 0.4)."""

    READER = "reader"
    API = "api"
    DEEPSEARCH = "deepsearch"


class Counting(StrEnum):
    """What a product's tokens are."""

    OUTPUT = "output"  # tokens of the answer
    SEARCH = "search"  # a fixed number per ten results, or the content if that is more
    PROCESS = "process"  # every call of the whole process
    INPUT = "input"  # tokens of the input
    INPUT_TIMES_ITERATIONS = "input_times_iterations"
    FREE = "free"  # counted, never charged


class Holding(StrEnum):
    """How much balance is set aside before the answer is known."""

    NOTHING = "nothing"
    BODY = "body"  # no token is shorter than a byte, so the body's length bounds its tokens
    BODY_TIMES_ITERATIONS = "body_times_iterations"
    MINIMUM = "minimum"  # the product's minimum
    LEARNED = "learned"  # the client's budget, else what answers of this size class cost lately
    BUDGET = "budget"  # the client's budget, else one block that grows while the answer streams


class UsageSource(StrEnum):
    """Where a service tells the tokens, asked in the order of the catalogue."""

    HEADER = "header"
    TRAILER = "trailer"
    JSON = "json"
    SSE = "sse"


@dataclass(frozen=True, slots=True)
class Shadow:
    """Limits of a tier that are only tried; None: this one is not. They never refuse."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one tier may use in any 60 s. `tpm` None: tokens are not limited."""

    rpm: int
    tpm: int | None
    concurrency: int
    shadow: Shadow | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One row of the catalogue, with what the request path needs computed once.

    `anonymous` None means that a key is needed. `paths` are exact, except that a product with
    `takes_rest` owns every path of its host, and these are its front pages unless the query names
    a target. `body_field` tells products of one path apart. `also_host` has the product at `/`.
    `maximum_tokens` None: no cap on a charge. `added_tokens`: what models usually add to every
    text. `least_cap_tokens`: no X-Max-Charge below it is taken.
    """

    name: str
    host: str
    also_host: str | None
    paths: tuple[str, ...]
    takes_rest: bool
    methods: tuple[str, ...]
    allow: str
    service: str
    family: Family
    anonymous: Limits | None
    key: Limits
    premium: Limits
    counting: Counting
    holding: Holding
    minimum_tokens: int
    maximum_tokens: int | None
    block_tokens: int
    added_tokens: int
    least_cap_tokens: int
    usage_sources: tuple[UsageSource, ...]
    usage_paths: tuple[tuple[str, ...], ...]
    body_field: str | None
    max_request_bytes: int
    max_answer_bytes: int
    deadline_ms: int
    first_byte_ms: int
    header_names: frozenset[str]
    header_prefixes: tuple[str, ...]

    def forwards(self, name: str) -> bool:
        """Whether the service may see the request header of this lower-case name."""
        return name in self.header_names or name.startswith(self.header_prefixes)

    @property
    def needs_key(self) -> bool:
        return self.anonymous is None


@dataclass(frozen=True, slots=True)
class HardLimits:
    """Limits stated on the product pages, the same for every tier."""

    free_trial_tokens: int
    max_inputs_per_request: int
    max_tokens_per_input: int
    zero_shot_max_labels: int
    few_shot_max_labels: int
    few_shot_max_classifiers: int
    deepsearch_max_attachment_bytes: int


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All products by name, and the hard limits."""

    products: dict[str, Product]
    limits: HardLimits
