"""One request: its fields, checked, lenient on what is null or unknown. Pure.

It refuses in the words of the wire contract (section 3 and 0.4 c) by raising AskError; presets of
`reasoning_effort` stand below budget_tokens, max_completion_tokens and max_attempts.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.deepsearch.messages import Conversation, conversation
from services.deepsearch.refusals import wrong
from services.deepsearch.schema import Schema, read_schema
from services.search.ask import PROVIDERS
from services.search.places import is_language

MODEL: Final = "jina-deepsearch-v1"
MODEL_CHARACTERS: Final = 200
EFFORTS: Final = {"low": (100_000, 1), "medium": (500_000, 2), "high": (1_000_000, 4)}
DEFAULT_EFFORT: Final = "medium"
# What a single request may be told to spend; a slip of three zeros should be noticed.
BUDGET_MOST: Final = 1_000_000_000
ATTEMPTS_MOST: Final = 100
TEAM_MOST: Final = 16
URLS_MOST: Final = 10_000
HOSTNAMES_MOST: Final = 200
HOSTNAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?)*"
)
# What people write in place of a hostname.
DRESS: Final = re.compile(
    r"^(?:[a-z][a-z0-9+.-]*://)?(?:\*\.)?([^/?#:]*)(?::\d{1,5})?(?:[/?#].*)?$"
)
TRUE: Final = frozenset({"true", "1", "yes"})
FALSE: Final = frozenset({"false", "0", "no", ""})


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request. None and empty text mean that the client names nothing."""

    model: str
    conversation: Conversation
    stream: bool
    budget_tokens: int
    max_attempts: int
    team_size: int
    no_direct_answer: bool
    max_returned_urls: int | None
    boost_hostnames: tuple[str, ...]
    bad_hostnames: tuple[str, ...]
    only_hostnames: tuple[str, ...]
    max_annotations: int | None
    min_annotation_relevance: float | None
    provider: str
    search_language: str
    language: str
    schema: Schema | None


def read(fields: Mapping[str, Any], header_budget: str = "") -> Ask:
    """The request in the body; `header_budget` is the gateway's ceiling. Raises AskError."""
    talk = conversation(fields.get("messages"))
    budget, attempts = _bounds(fields)
    if header_budget.isascii() and header_budget.isdigit():
        budget = min(budget, int(header_budget[:18]))
    return Ask(
        model=_model(fields.get("model")),
        conversation=talk,
        stream=_switch(fields, "stream"),
        budget_tokens=budget,
        max_attempts=attempts,
        team_size=_whole(fields, "team_size", 1, TEAM_MOST) or 1,
        no_direct_answer=_switch(fields, "no_direct_answer"),
        max_returned_urls=_whole(fields, "max_returned_urls", 0, URLS_MOST),
        boost_hostnames=_hostnames(fields, "boost_hostnames"),
        bad_hostnames=_hostnames(fields, "bad_hostnames"),
        only_hostnames=_hostnames(fields, "only_hostnames"),
        max_annotations=_whole(fields, "max_annotations", 0, URLS_MOST),
        min_annotation_relevance=_share(fields, "min_annotation_relevance"),
        provider=_provider(fields),
        search_language=_language(fields, "search_language_code"),
        language=_language(fields, "language_code"),
        schema=read_schema(fields.get("response_format")),
    )


def _model(value: object) -> str:
    """Echoed, so only what could not be echoed is replaced."""
    if not isinstance(value, str) or not value.strip() or len(value) > MODEL_CHARACTERS:
        return MODEL
    return value


def _bounds(fields: Mapping[str, Any]) -> tuple[int, int]:
    """The budget and the attempts."""
    word = fields.get("reasoning_effort")
    if word is None:
        word = DEFAULT_EFFORT
    effort = EFFORTS.get(word.strip().lower()) if isinstance(word, str) else None
    if effort is None:
        raise wrong("reasoning_effort", f"reasoning_effort must be one of {', '.join(EFFORTS)}")
    budget, attempts = effort
    completion = _whole(fields, "max_completion_tokens", 1, BUDGET_MOST)
    if completion is not None:
        budget, attempts = completion, 1
    budget = _whole(fields, "budget_tokens", 1, BUDGET_MOST) or budget
    attempts = _whole(fields, "max_attempts", 1, ATTEMPTS_MOST) or attempts
    return budget, attempts


def _whole(fields: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    """A whole number, also as text: the published example sends "1"."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        value = int(value.strip()[:18])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise wrong(name, f"{name} must be a whole number from {least} to {most}")
    return value


def _share(fields: Mapping[str, Any], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise wrong(name, f"{name} must be a number from 0 to 1")
    return float(value)


def _switch(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    word = str(value).strip().lower() if isinstance(value, str | int) else "?"
    if word not in TRUE | FALSE:
        raise wrong(name, f"{name} must be true or false")
    return word in TRUE


def _hostnames(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    rows: Sequence[object] = value.split(",") if isinstance(value, str) else value
    if not isinstance(rows, list) or len(rows) > HOSTNAMES_MOST:
        raise wrong(name, f"{name} must be a list of at most {HOSTNAMES_MOST} hostnames")
    return tuple(dict.fromkeys(filter(None, (_hostname(name, row) for row in rows))))


def _hostname(name: str, row: object) -> str:
    if not isinstance(row, str):
        raise wrong(name, f"{name} must be a list of hostnames")
    text = row.strip().lower()
    if not text:
        return ""
    found = DRESS.match(text)
    host = found[1].strip(".") if found else ""
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        host = ""
    if not HOSTNAME.fullmatch(host):
        raise wrong(name, f"{row[:100]!r} is not a hostname such as example.com")
    return host


def _provider(fields: Mapping[str, Any]) -> str:
    value = fields.get("search_provider")
    if value is None or value == "":
        return ""
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise wrong("search_provider", f"search_provider must be one of {known}")
    return word


def _language(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None or value == "":
        return ""
    word = value.strip().lower().replace("_", "-") if isinstance(value, str) else ""
    if not is_language(word):
        raise wrong(name, f"{name} must be a language code such as en or pt-br")
    return word
