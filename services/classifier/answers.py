"""The answers of the classifier, in the shapes of the wire contract. Pure.

It refuses to write one JSON text in one go: a large one is written input by input, so that the
event loop gets its turn in between.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from services.classifier.ask import Labels
from services.classifier.store import View
from services.classifier.sums import Doubles

# `{"label":,"score":0.0123456789012345678},` around every label.
PREDICTION_BYTES: Final = 45
# The gateway takes 64 MiB.
MOST_ANSWER_BYTES: Final = 56 * 1024 * 1024

Scores = Mapping[str | None, Doubles]


def answer_bytes(inputs: int, groups: Mapping[str | None, Labels]) -> int:
    """How long the answer may be; the winner stands in it once more."""
    lengths = [len(orjson.dumps(label)) for group in groups.values() for label in group]
    per_input = sum(lengths) + PREDICTION_BYTES * len(lengths) + len(groups) * max(lengths)
    return inputs * (per_input + 200)


def classifications(groups: Mapping[str | None, Labels], scores: Scores, tokens: int) -> bytes:
    """Labels stand in the order in which they were given; the first of equals wins."""
    rows = {name: found.tolist() for name, found in scores.items()}
    winners = {name: found.argmax(axis=1).tolist() for name, found in scores.items()}
    count = len(next(iter(rows.values())))
    data = b",".join(
        orjson.dumps(
            _classification(
                index,
                {name: _chosen(labels, rows[name][index], winners[name][index])
                 for name, labels in groups.items()},
            )
        )
        for index in range(count)
    )  # fmt: skip
    return b'{"usage":{"total_tokens":%d},"data":[%b]}' % (tokens, data)


def trained(classifier_id: object, samples: int, tokens: int) -> bytes:
    """What a training answers; `tokens` is what it costs."""
    return orjson.dumps(
        {
            "classifier_id": str(classifier_id),
            "num_samples": samples,
            "usage": {"total_tokens": tokens},
        }
    )


def listed(views: Sequence[View]) -> bytes:
    """The bare array of the contract."""
    return orjson.dumps([viewed(view) for view in views])


def viewed(view: View) -> dict[str, Any]:
    """One classifier as its owner sees it; times are ISO 8601 with their offset."""
    return {
        "classifier_id": str(view.classifier_id),
        "model_name": view.model,
        "labels": view.labels,
        "access": view.access,
        "updated_number": view.updated_number,
        "used_number": view.used_number,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
        "used_at": view.used_at,
        "metadata": {},
    }


def _chosen(labels: Labels, row: Sequence[float], winner: int) -> dict[str, Any]:
    return {
        "prediction": labels[winner],
        "score": row[winner],
        "predictions": [
            {"label": label, "score": score} for label, score in zip(labels, row, strict=True)
        ],
    }


def _classification(index: int, chosen: Mapping[str | None, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {"object": "classification", "index": index}
    if None in chosen:
        return found | chosen[None]
    for part in ("prediction", "score", "predictions"):
        found[part] = {name: group[part] for name, group in chosen.items()}
    return found
