"""Which parameters each request may have: what the library's own types say of them.

A field that the real API does not know is refused there with 400, at any depth; here too, so that
a misspelt one is found. A request that is not in the table is not looked at.
"""

import sys
import typing
from collections.abc import Mapping
from functools import cache
from types import SimpleNamespace, UnionType
from typing import Any

from stripe import RequestOptions, params
from stripe.params import checkout as checkout_params

from tests.stripe_standin.errors import Obj, invalid

_SESSIONS = "/v1/checkout/sessions"
_TYPES: Mapping[tuple[str, str], type] = {
    ("POST", _SESSIONS): checkout_params.SessionCreateParams,
    ("GET", _SESSIONS): checkout_params.SessionListParams,
    ("GET", f"{_SESSIONS}/{{}}"): checkout_params.SessionRetrieveParams,
    ("POST", f"{_SESSIONS}/{{}}/expire"): checkout_params.SessionExpireParams,
    ("POST", "/v1/customers"): params.CustomerCreateParams,
    ("GET", "/v1/customers"): params.CustomerListParams,
    ("POST", "/v1/payment_intents"): params.PaymentIntentCreateParams,
    ("POST", "/v1/payment_intents/{}/confirm"): params.PaymentIntentConfirmParams,
    ("POST", "/v1/payment_intents/{}/cancel"): params.PaymentIntentCancelParams,
    ("GET", "/v1/payment_intents"): params.PaymentIntentListParams,
    ("GET", "/v1/payment_methods"): params.PaymentMethodListParams,
    ("GET", "/v1/charges"): params.ChargeListParams,
    ("POST", "/v1/refunds"): params.RefundCreateParams,
    ("GET", "/v1/refunds"): params.RefundListParams,
    ("GET", "/v1/disputes"): params.DisputeListParams,
    ("GET", "/v1/invoices"): params.InvoiceListParams,
    ("GET", "/v1/events"): params.EventListParams,
    ("GET", "/v1/balance_transactions"): params.BalanceTransactionListParams,
    ("POST", "/v1/products"): params.ProductCreateParams,
    ("POST", "/v1/prices"): params.PriceCreateParams,
    ("POST", "/v1/coupons"): params.CouponCreateParams,
    ("POST", "/v1/promotion_codes"): params.PromotionCodeCreateParams,
}


def check(method: str, path: str, tree: Obj) -> None:
    """ApiError when a parameter of this request has a name or a word that is not known."""
    known = _TYPES.get((method, path))
    if known is not None:
        _level(_fields(known), {name: tree[name] for name in tree if name != "expand"}, "")


@cache
def _fields(known: type) -> Mapping[str, Any]:
    """The fields of a level and their types; none of the options of a call."""
    ours = {
        name: kind
        for name, kind in known.__annotations__.items()
        if name not in RequestOptions.__annotations__
    }
    bare = SimpleNamespace(__annotations__=ours)
    return typing.get_type_hints(bare, globalns=vars(sys.modules[known.__module__]))


def _level(fields: Mapping[str, Any], tree: Obj, path: str) -> None:
    for name, value in tree.items():
        full = f"{path}[{name}]" if path else name
        if name not in fields:
            raise invalid(f"Received unknown parameter: {full}", full, "parameter_unknown")
        _value(fields[name], value, full)


def _value(kind: Any, value: object, full: str) -> None:
    choices = list(_choices(kind))
    if isinstance(value, dict):
        for choice in choices:
            if hasattr(choice, "__total__"):
                _level(_fields(choice), value, full)
            elif typing.get_origin(choice) is list:
                for index, one in value.items():
                    _value(typing.get_args(choice)[0], one, f"{full}[{index}]")
        return
    words = {word for one in choices for word in typing.get_args(one) if isinstance(word, str)}
    # Beside the words that are known the types allow any string; the API does not.
    free = any(one in (bool, int) for one in choices) or value == "" or not words - {""}
    if not free and value not in words:
        told = f"Invalid {full}: must be one of {', '.join(sorted(words))}"
        raise invalid(told, full)


def _choices(kind: Any) -> typing.Iterator[Any]:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, UnionType):
        for one in typing.get_args(kind):
            yield from _choices(one)
    else:
        yield kind
