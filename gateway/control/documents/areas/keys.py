"""Keys: mint, look at, use, move, end; requests and closed days."""

from typing import Final

from gateway.control.documents.operation import (
    REPEAT,
    Body,
    Operation,
    json_answer,
    query,
)
from gateway.control.documents.shapes import (
    COUNT,
    MOMENT,
    TEXT,
    Schema,
    answer,
    by_name,
    maybe,
    one_of,
    ref,
    request,
    told,
    whole,
)

_BALANCE: Final = {"trial": COUNT, "paid": COUNT, "total": COUNT}
_TIER: Final = one_of("key", "premium")
_STATUS: Final = one_of("active", "suspended", "revoked")
_MOST: Final = 9_007_199_254_740_991
_PREVIEW: Final = query(
    "preview", one_of("0", "1", "true", "false"), "With `1` nothing is done, only told."
)

SCHEMAS: Final[dict[str, Schema]] = {
    "NewKey": answer(
        {
            "api_key": told(TEXT, "The key. It is shown this once and kept nowhere."),
            "key_id": told(TEXT, "Its public name, which is no secret."),
            "tier": _TIER,
            "balance": ref("Balance"),
        }
    ),
    "Balance": answer(_BALANCE, told="Tokens. A transfer moves paid ones only."),
    "HeldBalance": answer(
        {**_BALANCE, "held": maybe(COUNT)},
        told="`held` is set aside for requests that run; null while that cannot be known.",
    ),
    "KeyLimits": answer(
        {
            "rpm": told(COUNT, "Requests in any 60 seconds."),
            "tpm": told(COUNT, "Tokens in any 60 seconds; absent: not limited."),
            "concurrency": told(COUNT, "Requests that may be open at once."),
            "remaining_requests": COUNT,
            "reset_requests_s": COUNT,
            "remaining_tokens": COUNT,
            "reset_tokens_s": COUNT,
        },
        "tpm remaining_requests reset_requests_s remaining_tokens reset_tokens_s",
    ),
    "Key": answer(
        {
            "key_id": TEXT,
            "last_characters": TEXT,
            "owner": TEXT,
            "tier": _TIER,
            "status": _STATUS,
            "created_at": MOMENT,
            "balance": ref("HeldBalance"),
            "limits": told(by_name(ref("KeyLimits")), "By product."),
            "suspended_by": told({}, "Who or what suspended it, while it is suspended."),
        },
        "suspended_by",
    ),
    "Side": answer({"key_id": TEXT, "tier": _TIER, "balance": ref("Balance")}),
    "TransferRequest": request(
        {
            "to_api_key": told(TEXT, "The key that gets them. Both keys must be premium."),
            "tokens": told(maybe(whole(1, _MOST)), "How many; null: all that are not held."),
        },
        "to_api_key",
    ),
    "Transfer": answer(
        {
            "preview": {"const": True},
            "moved_tokens": COUNT,
            "from": ref("Side"),
            "to": ref("Side"),
            "note": TEXT,
        },
        "preview note",
    ),
    "RevokeRequest": request(
        {"transfer_to_api_key": told(maybe(TEXT), "A key that gets the paid tokens first.")}
    ),
    "Revocation": answer(
        {
            "preview": {"const": True},
            "key_id": TEXT,
            "status": _STATUS,
            "moved_tokens": COUNT,
            "forfeited_tokens": maybe(COUNT),
            "to": ref("Side"),
            "note": TEXT,
        },
        "preview to note",
    ),
}

_LATER: Final = "Done; nodes without Redis ask the ledger, all others learn of it within seconds."
_NO_LEDGER: Final = (
    "Without its ledger the gateway refuses the key from now on, and forfeits what is left later."
)

OPERATIONS: Final = (
    Operation(
        "mint_key",
        "POST",
        "/v1/keys",
        "keys",
        "Make a trial key",
        "Needs no key. Limited per address and day.",
        (json_answer(ref("NewKey"), "The key, shown this once.", 201),),
        (403, 429),
        body=Body(request({}), {"a trial key": {}}, needed=False),
    ),
    Operation(
        "show_key",
        "GET",
        "/v1/keys/me",
        "keys",
        "Balance and limits of a key",
        "Waits up to half a second until requests that have just ended are in the ledger.",
        (json_answer(ref("Key"), "The key that asks."),),
        key=True,
    ),
    Operation(
        "revoke_key",
        "DELETE",
        "/v1/keys/me",
        "keys",
        "Revoke a key for ever",
        "At once and on every node; what is left on it is forfeited unless it is moved first.",
        (
            json_answer(ref("Revocation"), "It is revoked."),
            json_answer(ref("Revocation"), f"{_LATER} {_NO_LEDGER}", 202),
        ),
        (403, 409),
        key=True,
        parameters=(_PREVIEW,),
        body=Body(ref("RevokeRequest"), {"nobody gets what is left": {}}, needed=False),
    ),
    Operation(
        "transfer_tokens",
        "POST",
        "/v1/keys/me/transfer",
        "keys",
        "Move paid tokens to another key",
        "What is held for running requests stays.",
        (
            json_answer(ref("Transfer"), "They are moved: both balances after it."),
            json_answer(ref("Transfer"), _LATER, 202),
        ),
        (400, 403, 409),
        key=True,
        parameters=(_PREVIEW, REPEAT),
        body=Body(ref("TransferRequest")),
    ),
)
