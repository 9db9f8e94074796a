"""What `/v1/train` and `/v1/classify` are asked, checked. Pure.

It refuses wrong types with their place (422), and what is more or less than is taken (400). Absent
and null are the same; unknown fields are none of its business.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from services.api_refusals import Refusal
from services.fields import FieldError, Fields, beyond, wrong
from services.models.inputs import MOST_INPUTS, Item, read_item, read_items

# Hard limits of the product pages.
MOST_CLASSES: Final = 16
MOST_CLASSIFIERS: Final = 16
MOST_LABELS: Final = 256
# Grouped labels, as the published schema has them.
MOST_GROUPS: Final = 8
MOST_GROUP_LABELS: Final = 64
LEAST_LABELS: Final = 2

# What the gateway lets through too; beyond it is a slip.
MOST_ITERATIONS: Final = 1_000_000
USUAL_ITERATIONS: Final = 10
# A label is a name or a sentence. It is repeated in the answer for every input.
LABEL_CHARACTERS: Final = 1_000

ACCESS: Final = ("private", "public")
UUID_SHAPE: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Train:
    """Examples for a new classifier of `model`, or for `classifier_id`: exactly one is set."""

    model: str | None
    classifier_id: UUID | None
    access: str
    items: Sequence[Item]
    labels: Labels  # of each item
    distinct: Labels  # in order of appearance
    iterations: int


@dataclass(frozen=True, slots=True)
class FewShot:
    """Inputs for a classifier."""

    classifier_id: UUID
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """Inputs and labels as text. Without names for the groups, `groups` has one under None."""

    model: str
    items: Sequence[Item]
    groups: Mapping[str | None, Labels]


def read_train(fields: Fields) -> Train:
    """Raises FieldError."""
    model, classifier_id = _either(fields)
    access = fields.choice("access", ACCESS)
    value = fields.needed("input")
    single = not isinstance(value, list)
    if not single and not value:
        raise wrong(("input",), "List should have at least 1 item", "too_short")
    if not single and len(value) > MOST_INPUTS:
        message = f"input has {len(value)} items; at most {MOST_INPUTS} are taken"
        raise beyond(("input",), "INPUT_TOO_MANY", message)
    places = [("input",)] if single else [("input", index) for index in range(len(value))]
    examples = [
        _example(example, place)
        for example, place in zip([value] if single else value, places, strict=True)
    ]
    labels = tuple(label for _, label in examples)
    distinct = tuple(dict.fromkeys(labels))
    if classifier_id is None and len(distinct) < LEAST_LABELS:
        message = f"A new classifier needs at least {LEAST_LABELS} distinct labels"
        raise beyond(("input",), "INPUT_INVALID_LABELS", message)
    check_classes(len(distinct))
    iterations = fields.whole("num_iters", 1, MOST_ITERATIONS)
    return Train(
        model,
        classifier_id,
        access or ACCESS[0],
        [item for item, _ in examples],
        labels,
        distinct,
        iterations or USUAL_ITERATIONS,
    )


def check_classes(count: int) -> None:
    """Raises FieldError for more labels than a classifier may have."""
    if count > MOST_CLASSES:
        message = (
            f"Label limit exceeded: {count} labels, a classifier may have at most {MOST_CLASSES}"
        )
        raise beyond(("input",), "INPUT_LABEL_LIMIT_EXCEEDED", message)


def read_classify(fields: Fields) -> FewShot | ZeroShot:
    """Raises FieldError."""
    model, classifier_id = _either(fields)
    labels = fields.given("labels")
    if classifier_id is not None:
        if labels is not None:
            raise wrong(("labels",), "labels and classifier_id exclude each other")
        return FewShot(classifier_id, read_items(fields))
    assert model is not None, "one of the two was given"
    return ZeroShot(model, read_items(fields), _groups(fields.needed("labels")))


def read_classifier_id(text: str) -> UUID:
    """Raises FieldError: what has not the shape of an id is the id of no classifier."""
    if not UUID_SHAPE.fullmatch(text):
        raise not_found(text)
    return UUID(text)


def not_found(classifier_id: object) -> FieldError:
    """Unknown and not his own look the same to a stranger."""
    message = f"Classifier '{str(classifier_id)[:100]}' not found or access denied"
    return FieldError(Refusal(404, "RESOURCE_NOT_FOUND", message, ("body", "classifier_id")))


def _either(fields: Fields) -> tuple[str | None, UUID | None]:
    model, classifier_id = fields.text("model"), fields.text("classifier_id")
    if model is not None and classifier_id is not None:
        raise wrong(("classifier_id",), "model and classifier_id exclude each other")
    if classifier_id is not None:
        return None, read_classifier_id(classifier_id)
    if model is None:
        raise wrong(("model",), "One of model and classifier_id is required", "missing")
    return model, None


def _example(value: Any, place: tuple[str | int, ...]) -> tuple[Item, str]:
    if not isinstance(value, Mapping):
        raise wrong(place, "Input should be an object with a label", "dict_type")
    if value.get("label") is None:
        raise wrong((*place, "label"), "Field required", "missing")
    return read_item(value, place), _label(value["label"], (*place, "label"))


def _groups(value: Any) -> Mapping[str | None, Labels]:
    if isinstance(value, list):
        return {None: _label_list(value, ("labels",), MOST_LABELS)}
    if not isinstance(value, dict):
        message = "Input should be a list of strings, or an object of such lists"
        raise wrong(("labels",), message, "list_type")
    if not value:
        raise wrong(("labels",), "Object should have at least 1 group", "too_short")
    if len(value) > MOST_GROUPS:
        message = f"labels has {len(value)} groups; at most {MOST_GROUPS} are taken"
        raise beyond(("labels",), "INPUT_LABEL_LIMIT_EXCEEDED", message)
    groups: dict[str | None, Labels] = {}
    for name, labels in value.items():
        place = ("labels", name[:100])
        _label(name, ("labels",))
        if not isinstance(labels, list):
            raise wrong(place, "Input should be a valid list", "list_type")
        groups[name] = _label_list(labels, place, MOST_GROUP_LABELS)
    return groups


def _label_list(value: list[Any], place: tuple[str | int, ...], most: int) -> Labels:
    if not value:
        raise wrong(place, "List should have at least 2 items", "too_short")
    seen: dict[str, None] = {}
    for index, label in enumerate(value):
        seen[_label(label, (*place, index))] = None
        if len(seen) > most:
            message = f"Label limit exceeded: at most {most} distinct labels are taken here"
            raise beyond(place, "INPUT_LABEL_LIMIT_EXCEEDED", message)
    if len(seen) < LEAST_LABELS:
        message = f"At least {LEAST_LABELS} distinct labels are needed"
        raise beyond(place, "INPUT_INVALID_LABELS", message)
    return tuple(seen)


def _label(value: Any, place: tuple[str | int, ...]) -> str:
    if not isinstance(value, str):
        raise wrong(place, "Input should be a valid string", "string_type")
    if not value.strip():
        raise wrong(place, "A label should have a character", "string_too_short")
    if "\0" in value:
        raise wrong(place, "A label may not contain the character NUL", "string_pattern")
    if len(value) > LABEL_CHARACTERS:
        message = f"A label has {len(value)} characters; at most {LABEL_CHARACTERS} are taken"
        raise beyond(place, "INPUT_INVALID_LABELS", message)
    return value
