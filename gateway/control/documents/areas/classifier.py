"""The classifier: train, classify with and without examples, one's own classifiers."""

from typing import Final

from gateway.control.documents.operation import (
    JSON,
    METERED,
    Answer,
    Body,
    Operation,
    json_answer,
    path_parameter,
)
from gateway.control.documents.shapes import (
    COUNT,
    NUMBER,
    TEXT,
    Schema,
    answer,
    array,
    by_name,
    either,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)

_UUID: Final = {"type": "string", "format": "uuid"}
_LABEL: Final = {**TEXT, "minLength": 1, "maxLength": 1_000}
_ACCESS: Final = one_of("private", "public")
_PREDICTED: Final = array(answer({"label": TEXT, "score": NUMBER}))

SCHEMAS: Final[dict[str, Schema]] = {
    "Example": request(
        {"text": TEXT, "image": TEXT, "url": TEXT, "bytes": TEXT, "label": _LABEL}, "label"
    ),
    "TrainRequest": request(
        {
            "model": told(maybe(TEXT), "For a new classifier; else `classifier_id`, never both."),
            "classifier_id": told(maybe(_UUID), "One's own classifier that learns more."),
            "access": either(_ACCESS, {"type": "null"}),
            "input": either(ref("Example"), array(ref("Example"), 1, 1_024)),
            "num_iters": told(
                maybe(whole(1, 1_000_000, 10)), "Times that the tokens of the input are charged."
            ),
        },
        "input",
        "A new classifier needs two labels at least and may have 16.",
    ),
    "Trained": answer(
        {
            "classifier_id": TEXT,
            "num_samples": COUNT,
            "usage": ref("TokenUsage"),
        }
    ),
    "ClassifyRequest": request(
        {
            "model": told(maybe(TEXT), "With `labels`: without examples (zero-shot)."),
            "labels": told(
                either(array(_LABEL, 2), by_name(array(_LABEL, 2)), {"type": "null"}),
                "At most 256, or up to 8 named groups of 64.",
            ),
            "classifier_id": told(maybe(_UUID), "Instead of both: a trained one (few-shot)."),
            "input": ref("Inputs"),
        },
        "input",
    ),
    "Classification": answer(
        {
            "object": {"const": "classification"},
            "index": COUNT,
            "prediction": either(TEXT, by_name(TEXT)),
            "score": either(NUMBER, by_name(NUMBER)),
            "predictions": either(_PREDICTED, by_name(_PREDICTED)),
        },
        told="With groups of labels the last three are objects by group.",
    ),
    "Classifications": answer({"usage": ref("TokenUsage"), "data": array(ref("Classification"))}),
    "Classifier": answer(
        {
            "classifier_id": TEXT,
            "model_name": TEXT,
            "labels": array(TEXT),
            "access": _ACCESS,
            "updated_number": COUNT,
            "used_number": COUNT,
            "created_at": TEXT,
            "updated_at": TEXT,
            "used_at": maybe(TEXT),
            "metadata": {"type": "object"},
        }
    ),
    "DeletedClassifier": answer({"classifier_id": TEXT, "deleted": {"const": True}}),
}

_SERVED: Final = (400, 404, 409, 429, 502, 504)
_ID: Final = (
    path_parameter("classifier_id", "Its id.", "b2c1f0de-6a38-4a62-9d62-3f0e9d1b7c11", _UUID),
)
_EXAMPLES: Final = [
    {"text": "The parcel never came", "label": "delivery"},
    {"text": "My card was charged twice", "label": "billing"},
]


def _priced(name: str, text: str) -> tuple[Answer, ...]:
    return (Answer(f"{text}, or what it would cost.", {JSON: either(ref(name), ref("Price"))}),)


OPERATIONS: Final = (
    Operation(
        "train",
        "POST",
        "/v1/train",
        "classifier",
        "Train a classifier with examples",
        "Learns in one pass; the examples are not kept.",
        _priced("Trained", "The classifier"),
        (*_SERVED, 403),
        key=True,
        products=("train",),
        parameters=METERED,
        body=Body(
            ref("TrainRequest"),
            {"two labels": {"model": "jina-embeddings-v3", "input": _EXAMPLES, "num_iters": 1}},
        ),
    ),
    Operation(
        "classify",
        "POST",
        "/v1/classify",
        "classifier",
        "Classify texts and images",
        "With `labels` by their meaning alone, with `classifier_id` by what it has learnt. "
        "A public classifier may be used by anybody, who pays for it himself.",
        _priced("Classifications", "A label per input"),
        _SERVED,
        key=True,
        products=("classify_zero_shot", "classify_few_shot"),
        parameters=METERED,
        body=Body(
            ref("ClassifyRequest"),
            {
                "zero-shot": {
                    "model": "jina-embeddings-v3",
                    "input": ["The parcel never came"],
                    "labels": ["delivery", "billing"],
                }
            },
        ),
    ),
    Operation(
        "list_classifiers",
        "GET",
        "/v1/classifiers",
        "classifier",
        "One's own classifiers",
        "Free.",
        (json_answer(array(ref("Classifier")), "The classifiers."),),
        (429, 502, 504),
        key=True,
    ),
    Operation(
        "show_classifier",
        "GET",
        "/v1/classifiers/{classifier_id}",
        "classifier",
        "One classifier",
        "Free. Only its owner may look.",
        (json_answer(ref("Classifier"), "The classifier."),),
        (404, 429, 502, 504),
        key=True,
        parameters=_ID,
    ),
    Operation(
        "delete_classifier",
        "DELETE",
        "/v1/classifiers/{classifier_id}",
        "classifier",
        "Delete a classifier",
        "Free. It cannot be undone.",
        (json_answer(ref("DeletedClassifier"), "It is gone."),),
        (404, 409, 429, 502, 504),
        key=True,
        parameters=_ID,
    ),
)
