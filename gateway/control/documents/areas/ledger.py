"""What a key has used: rows, the export, digests of closed days, single requests."""

from typing import Final

from gateway.control.documents.operation import (
    JSON,
    Answer,
    Operation,
    json_answer,
    path_parameter,
    query,
)
from gateway.control.documents.shapes import (
    COUNT,
    DAY,
    DIGEST,
    MOMENT,
    TEXT,
    WHOLE,
    Schema,
    answer,
    array,
    either,
    maybe,
    one_of,
    ref,
    told,
    whole,
)

_SPAN: Final = (
    query("from", DAY, "The first UTC day.", "2026-11-01"),
    query("to", DAY, "The last UTC day, included; today if left out.", "2026-11-20"),
)

SCHEMAS: Final[dict[str, Schema]] = {
    "RequestRecord": answer(
        {
            "request_id": TEXT,
            "product": TEXT,
            "admitted_at": MOMENT,
            "decided_at": MOMENT,
            "outcome": TEXT,
            "outcome_text": TEXT,
            "http_status": WHOLE,
            "held": COUNT,
            "reported": maybe(COUNT),
            "charged": told(WHOLE, "What it cost in the end."),
            "from": answer({"trial": WHOLE, "paid": WHOLE}),
            "shortfall": COUNT,
            "given_back": COUNT,
            "tokens": WHOLE,
            "rule": told(TEXT, "The rule by which it was charged."),
        }
    ),
    "RunningRequest": answer(
        {
            "request_id": TEXT,
            "product": TEXT,
            "state": {"const": "running"},
            "admitted_at": MOMENT,
            "held": told(COUNT, "Set aside for it up to now; nothing is charged yet."),
        }
    ),
    "UsageRow": answer(
        {"day": TEXT, "product": TEXT, "requests": COUNT, "tokens": WHOLE}, "day product"
    ),
    "Usage": answer({"items": array(either(ref("UsageRow"), ref("RequestRecord")))}),
    "ExportLine": answer(
        {
            "seq": WHOLE,
            "kind": TEXT,
            "request_id": TEXT,
            "product": TEXT,
            "outcome": TEXT,
            "rule": TEXT,
            "tokens": maybe(WHOLE),
            "from_trial": maybe(WHOLE),
            "from_paid": maybe(WHOLE),
            "shortfall": maybe(WHOLE),
            "reported": maybe(WHOLE),
            "decided_at": TEXT,
            "posted_at": TEXT,
        },
        told="One line of an export in JSON lines; as CSV the same fields in this order.",
    ),
    "KeyDays": answer(
        {
            "key_id": TEXT,
            "items": array(
                answer(
                    {
                        "day": DAY,
                        "after_seq": WHOLE,
                        "upto_seq": WHOLE,
                        "lines": COUNT,
                        "tokens": WHOLE,
                        "previous": DIGEST,
                        "digest": DIGEST,
                        "path": array(
                            answer({"side": one_of("left", "right"), "hash": DIGEST}),
                        ),
                    }
                )
            ),
        },
        told="Closed days of the key, each with the way from its digest to the published root.",
    ),
    "ClosedDays": answer(
        {"items": array(answer({"day": DAY, "previous": DIGEST, "root": DIGEST, "digest": DIGEST}))}
    ),
}

_EXPORT: Final = Answer(
    "The lines, as they are read from the ledger.",
    {"text/csv": TEXT, "application/x-ndjson": told(TEXT, "Lines of `ExportLine`.")},
)

OPERATIONS: Final = (
    Operation(
        "show_usage",
        "GET",
        "/v1/keys/me/usage",
        "keys",
        "Usage of a key",
        "By day and product, or with `recent` the latest requests.",
        (json_answer(ref("Usage"), "Rows, the newest first."),),
        (422,),
        key=True,
        parameters=(
            query("days", whole(1, 366, 30), "How many days back.", 30),
            query("by", {**TEXT, "default": "day,product"}, "`day`, `product` or both."),
            query("recent", whole(1, 1_000), "That many of the latest requests instead.", None),
        ),
    ),
    Operation(
        "export_usage",
        "GET",
        "/v1/keys/me/usage/export",
        "keys",
        "Every line of the ledger for a key",
        "A stream; `sluice verify-export` checks it against the published digests.",
        (_EXPORT,),
        (422,),
        key=True,
        parameters=(*_SPAN, query("format", one_of("csv", "jsonl", default="csv"), "The form.")),
    ),
    Operation(
        "closed_days_of_key",
        "GET",
        "/v1/keys/me/usage/days",
        "keys",
        "Digests of a key's closed days",
        "At most 366 days at once.",
        (json_answer(ref("KeyDays"), "The days."),),
        (422,),
        key=True,
        parameters=_SPAN,
    ),
    Operation(
        "closed_days",
        "GET",
        "/v1/closed-days",
        "keys",
        "Published digests of closed days",
        "For everybody: who keeps one sees later whether the books of that day were changed.",
        (json_answer(ref("ClosedDays"), "The days."),),
        (422,),
        parameters=_SPAN,
    ),
    Operation(
        "show_request",
        "GET",
        "/v1/requests/{request_id}",
        "keys",
        "One request: held, reported, charged",
        "The id is the `x-request-id` of the answer. Only the key that asked may look.",
        (
            Answer(
                "The request, as it ended or as it runs.",
                {JSON: either(ref("RequestRecord"), ref("RunningRequest"))},
            ),
        ),
        (404,),
        key=True,
        parameters=(
            path_parameter(
                "request_id", "As in `x-request-id`.", "01a1f936-e3aa-7a3a-84f2-2ba257b9f0ae"
            ),
        ),
    ),
)
