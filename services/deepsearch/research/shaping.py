"""Fills a JSON schema from what was found, without a model. Pure.

Names of properties say what belongs there; what nothing was found for gets the least that the
schema takes. It answers None where the schema wants what cannot be made so (a pattern, say).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jsonschema

from services.deepsearch.research.kinds import DATE, NUMBER
from services.deepsearch.research.mind import Draft
from services.search.index.words import words

DEEP_MOST: Final = 8
URLS: Final = frozenset({"url", "urls", "link", "links", "source", "sources", "uri", "href",
                         "reference", "references", "citation", "citations"})  # fmt: skip
QUOTES: Final = frozenset(
    {"quote", "quotes", "evidence", "passage", "excerpt", "support", "proof", "snippet"}
)
LONG: Final = frozenset(
    {"explanation", "reasoning", "reason", "summary", "description", "details", "text", "why"}
)
TITLES: Final = frozenset({"title", "titles", "page", "headline"})
DATES: Final = frozenset({"date", "year", "when", "day", "published", "datetime"})


@dataclass(frozen=True, slots=True)
class _Filler:
    root: Mapping[str, Any]
    draft: Draft

    def value(self, schema: Any, name: str, depth: int = 0, at: int = 0) -> Any:
        """A value for the schema; `name` is that of the property, `at` its place in a list."""
        if not isinstance(schema, Mapping) or depth > DEEP_MOST:
            return self._text(name, at)
        for fixed in ("const", "default"):
            if fixed in schema:
                return schema[fixed]
        if "enum" in schema:
            return self._one_of(schema["enum"])
        if "$ref" in schema:
            return self.value(self._pointed(schema["$ref"]), name, depth + 1, at)
        for many in ("anyOf", "oneOf", "allOf"):
            options = schema.get(many)
            if isinstance(options, Sequence) and options:
                first = next((o for o in options if o != {"type": "null"}), options[0])
                return self.value({**schema, **first, many: None}, name, depth + 1, at)
        return self._typed(schema, name, depth, at)

    def _typed(self, schema: Mapping[str, Any], name: str, depth: int, at: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, Sequence) and not isinstance(kind, str):
            kind = next((each for each in kind if each != "null"), "null")
        if kind == "object" or (kind is None and "properties" in schema):
            return self._object(schema, depth)
        if kind == "array" or (kind is None and "items" in schema):
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, name, whole=kind == "integer")
        if kind == "boolean":
            return not {"no", "nein", "non", "false", "否", "いいえ"}.intersection(
                self._short_words()
            )
        return None if kind == "null" else self._string(schema, name, at)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        wanted = dict(properties) if isinstance(properties, Mapping) else {}
        for name in schema.get("required", ()):
            wanted.setdefault(name, {})
        return {name: self.value(inner, name, depth + 1) for name, inner in wanted.items()}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", 10)
        several = bool(URLS | QUOTES | TITLES) and _kind(name) in ("url", "quote", "title")
        count = max(least, len(self.draft.citations) if several else 1)
        made = [self.value(schema.get("items"), name, depth + 1, at) for at in range(count)]
        distinct = [each for at, each in enumerate(made) if each not in made[:at]]
        return (distinct if len(distinct) >= least else made)[:most]

    def _number(self, schema: Mapping[str, Any], name: str, *, whole: bool) -> int | float:
        text = self.draft.text if _kind(name) == "date" else self.draft.short
        found = [n for n in (_number_of(m[0]) for m in NUMBER.finditer(text)) if n is not None]
        value = found[0] if found else 0.0
        low, high = schema.get("minimum"), schema.get("maximum")
        value = max(value, low) if isinstance(low, int | float) else value
        value = min(value, high) if isinstance(high, int | float) else value
        return int(value) if whole else value

    def _string(self, schema: Mapping[str, Any], name: str, at: int) -> str:
        text = self._text(name, at)
        if schema.get("format") in ("date", "date-time"):
            found = DATE.search(self.draft.text)
            year = re.search(r"\d{4}", found[0]) if found else None
            full = re.search(r"\d{4}-\d{2}-\d{2}", self.draft.text)
            text = full[0] if full else f"{year[0] if year else '1970'}-01-01"
            text += "T00:00:00Z" if schema["format"] == "date-time" else ""
        most, least = schema.get("maxLength"), schema.get("minLength", 0)
        text = text[:most] if isinstance(most, int) else text
        return text.ljust(least, ".") if isinstance(least, int) else text

    def _text(self, name: str, at: int) -> str:
        cited = self.draft.citations
        here = cited[min(at, len(cited) - 1)] if cited else None
        kind = _kind(name)
        if here is not None and kind in ("url", "quote", "title"):
            return {"url": here.url, "quote": here.quote, "title": here.title}[kind]
        if kind == "date":
            found = DATE.search(self.draft.short) or DATE.search(self.draft.text)
            return found[0] if found else self.draft.short
        if kind == "long":
            return " ".join(citation.quote for citation in cited) or self.draft.text
        return self.draft.short or self.draft.text

    def _one_of(self, options: Sequence[Any]) -> Any:
        short = f" {' '.join(self._short_words())} "
        text = f" {' '.join(words(self.draft.text))} "
        for said in (short, text):
            for option in options:
                if isinstance(option, str) and f" {' '.join(words(option))} " in said:
                    return option
        return options[0] if options else None

    def _short_words(self) -> list[str]:
        return words(self.draft.short or self.draft.text[:80])

    def _pointed(self, reference: Any) -> Any:
        found: Any = self.root
        for step in str(reference).removeprefix("#").split("/")[1:]:
            found = found.get(step, {}) if isinstance(found, Mapping) else {}
        return found


def _kind(name: str) -> str:
    """What belongs into a property of that name."""
    parts = set(words(re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name)))
    for kind, row in (("url", URLS), ("quote", QUOTES), ("date", DATES), ("title", TITLES)):
        if parts & row:
            return kind
    return "long" if parts & LONG else "answer"


def _number_of(text: str) -> float | None:
    digits = re.match(r"[-−]?\d[\d,.\u00a0 ]*", text)
    if digits is None:
        return None
    try:
        return float(re.sub(r"[,\u00a0 ](?=\d{3})", "", digits[0]).replace("−", "-").strip(" .,"))
    except ValueError:
        return None


def fill(schema: Mapping[str, Any], draft: Draft) -> Any:
    """A value that is valid by the schema, or None."""
    value = _Filler(schema, draft).value(schema, "answer")
    try:
        jsonschema.validate(value, schema)
    except (jsonschema.ValidationError, jsonschema.SchemaError):
        return None
    return value
