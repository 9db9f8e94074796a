"""Puts a found answer into the fields of a schema, for a mind that writes no JSON itself. Pure.

It refuses to invent: a field gets the answer's words, a number, date, yes or no that stands in
them, or what the citations say; what cannot be filled so is left out. It is bounded whatever the
schema is. Whether the whole is valid is for the schema to say, and that is found out elsewhere:
a pattern of a client may take for ever.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.deepsearch.research.mind import Draft, Evidence

FOOTNOTE: Final = re.compile(r"\s*\[\^\d+\]")
NUMBER: Final = re.compile(r"-?\d{1,3}(?:,\d{3}){1,4}(?:\.\d{1,9})?|-?\d{1,15}(?:\.\d{1,9})?")
DATE: Final = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
YES: Final = re.compile(r"\W*(yes|true)\b", re.IGNORECASE)
NO: Final = re.compile(r"\W*(no|not|false)\b", re.IGNORECASE)
ADDRESS_NAMES: Final = ("url", "uri", "link", "source", "reference", "citation")
QUOTE_NAMES: Final = ("quote", "evidence", "snippet", "passage")
TITLE_NAMES: Final = ("title", "headline")
LONG_NAMES: Final = ("explanation", "reason", "summary", "description", "detail", "text", "why")
DATE_NAMES: Final = ("date", "year", "when")
DEPTH_MOST: Final = 12
ITEMS_MOST: Final = 20
# A schema may refer to itself in several places; what is larger is not filled.
NODES_MOST: Final = 2_000
Node = Mapping[str, Any]


class _UnfilledError(Exception):
    """There is nothing to put here."""


@dataclass(slots=True)
class Fitter:
    """One answer and its citations, for any schema; used once.

    `short` is the bare answer within `answer`, or all of it.
    """

    root: Node
    answer: str
    short: str
    citations: Sequence[Evidence]
    nodes_left: int = NODES_MOST

    def value(self) -> Any:
        """A value for the whole schema, or None where not even its outline can be filled."""
        try:
            return self._fill(self.root, "", 0, None)
        except _UnfilledError:
            return None

    def _fill(self, node: Any, name: str, level: int, cited: Evidence | None) -> Any:
        self.nodes_left -= 1
        if not isinstance(node, Mapping) or level > DEPTH_MOST or self.nodes_left < 0:
            raise _UnfilledError
        node = self._resolved(node)
        if "const" in node:
            return node["const"]
        if isinstance(node.get("enum"), list):
            return self._chosen(node["enum"])
        for word in ("anyOf", "oneOf", "allOf"):
            if isinstance(node.get(word), list) and "properties" not in node:
                return self._first(node[word], name, level, cited)
        kinds = node.get("type", "object" if "properties" in node else "string")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            try:
                return self._typed(str(kind), node, name, level, cited)
            except _UnfilledError:
                continue
        raise _UnfilledError

    def _typed(self, kind: str, node: Node, name: str, level: int, cited: Evidence | None) -> Any:
        if kind == "object":
            return self._object(node, level, cited)
        if kind == "array":
            return self._array(node, name, level, cited)
        if kind in ("integer", "number"):
            return self._number(kind == "integer", name.lower())
        if kind == "boolean":
            return self._truth()
        if kind == "null":
            return None
        return self._text(node, name.lower(), cited)

    def _object(self, node: Node, level: int, cited: Evidence | None) -> dict[str, Any]:
        found = {}
        properties = node.get("properties")
        for name, inner in properties.items() if isinstance(properties, Mapping) else ():
            try:
                found[name] = self._fill(inner, name, level + 1, cited)
            except _UnfilledError:
                continue
        return found

    def _array(self, node: Node, name: str, level: int, cited: Evidence | None) -> list[Any]:
        items = node.get("items", {"type": "string"})
        # A list of sources has one entry per citation; any other list has the answer.
        own = self._resolved(items) if isinstance(items, Mapping) else {}
        many = "properties" in own or _is_named(name.lower(), (*ADDRESS_NAMES, *QUOTE_NAMES))
        sources: Sequence[Evidence | None] = self.citations if many and cited is None else [cited]
        most = node.get("maxItems")
        most = min(most, ITEMS_MOST) if isinstance(most, int) else ITEMS_MOST
        found = []
        for each in sources[:most]:
            value = self._fill(items, name, level + 1, each)
            if value not in found:
                found.append(value)
        return found

    def _text(self, node: Node, name: str, cited: Evidence | None) -> str:
        source = cited or (self.citations[0] if self.citations else None)
        form = node.get("format")
        if form in ("uri", "url", "iri") or _is_named(name, ADDRESS_NAMES):
            found = source.url if source else ""
        elif form == "date":
            dates = DATE.findall(self.answer)
            found = dates[0] if dates else ""
        elif _is_named(name, QUOTE_NAMES):
            found = source.quote if source else ""
        elif _is_named(name, TITLE_NAMES):
            found = source.title if source else ""
        else:
            found = self.answer if _is_named(name, LONG_NAMES) else self.short
        if not found:
            raise _UnfilledError
        most = node.get("maxLength")
        return found[:most] if isinstance(most, int) else found

    def _number(self, whole: bool, name: str) -> int | float:
        texts = NUMBER.findall(self.short)
        if not texts or _is_named(name, DATE_NAMES):
            texts += NUMBER.findall(self.answer)
        for text in texts:
            value = float(text.replace(",", ""))
            if value.is_integer():
                return int(value)
            if not whole:
                return value
        raise _UnfilledError

    def _truth(self) -> bool:
        if YES.match(self.short):
            return True
        if NO.match(self.short):
            return False
        raise _UnfilledError

    def _chosen(self, values: Sequence[Any]) -> Any:
        """The value that the answer names, the longest if several."""
        for said in (self.short.lower(), self.answer.lower()):
            named = [each for each in values if each is not None and str(each).lower() in said]
            if named:
                return max(named, key=lambda value: len(str(value)))
        raise _UnfilledError

    def _first(self, nodes: Sequence[Any], name: str, level: int, cited: Evidence | None) -> Any:
        for node in nodes:
            try:
                return self._fill(node, name, level + 1, cited)
            except _UnfilledError:
                continue
        raise _UnfilledError

    def _resolved(self, node: Node) -> Node:
        """The node that a reference within the schema leads to."""
        for _ in range(DEPTH_MOST):
            place = node.get("$ref")
            if not isinstance(place, str):
                return node
            found: Any = self.root
            for part in place.lstrip("#").strip("/").split("/"):
                name = part.replace("~1", "/").replace("~0", "~")
                found = found.get(name) if isinstance(found, Mapping) and part else found
            if not isinstance(found, Mapping):
                break
            node = found
        raise _UnfilledError


def fitted(schema: Node, draft: Draft) -> Any:
    """The answer as the schema wants it, as far as it can be; None where it cannot at all."""
    answer = FOOTNOTE.sub("", draft.text).strip()
    return Fitter(schema, answer, draft.short.strip() or answer, draft.citations).value()


def _is_named(name: str, words: Sequence[str]) -> bool:
    return any(word in name for word in words)
