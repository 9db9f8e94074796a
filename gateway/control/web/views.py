"""What the pages show, read from the same data that the code uses.

Refuses to compute money, limits or who pays: they are asked where they are decided.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.control import billing
from gateway.control.admin_books import AdminBooks
from gateway.control.call import Reply
from gateway.control.readiness import Ready
from gateway.control.web import account_calls, key_calls
from gateway.control.web.visit import Visit
from gateway.errors import Problem
from gateway.ledger.canary import MAX_DAYS
from gateway.metering.outcomes import WHO_PAYS
from gateway.products.product import Limits, Product

Data = dict[str, Any]
View = Callable[[Visit], Awaitable[Data]]
_DASH: Final = "dash."


async def front(visit: Visit) -> Data:
    """The key, its use and what can be bought."""
    data: Data = {"overview": None, "packs": None, "orders": None, "problem": None}
    data["trial_tokens"] = visit.parts.catalogue.limits.free_trial_tokens
    session = visit.session
    if visit.parts.billing is not None:
        data["packs"] = _document(await billing.packs(visit.parts, visit.call()))
    if session is None or session.key_id is None:
        return data
    told = await key_calls.overview(visit)
    if isinstance(told, Problem):
        return {**data, "problem": told.detail}
    data["overview"] = told.document
    if visit.parts.billing is not None:
        data["orders"] = _document(await billing.orders(visit.parts, visit.call(query={})))
    return data


def _document(told: Reply | Problem) -> Any:
    return None if isinstance(told, Problem) else told.document


async def playground(visit: Visit) -> Data:
    """Every product with where it is and what it takes."""
    return {"products": products(visit), "root": root(visit)}


async def chat(visit: Visit) -> Data:
    """A conversation with deepsearch."""
    found = [each for each in products(visit) if each["name"] == "deepsearch"]
    return {"product": found[0] if found else None}


async def limits(visit: Visit) -> Data:
    """The table of limits by tier."""
    return limits_document(visit)


async def status(visit: Visit) -> Data:
    """How every product is and was; `calendar` is every day that is shown, to the last one."""
    return {**await status_document(visit), "calendar": _calendar()}


async def status_while_away(visit: Visit) -> Data:
    """The same without the history, whose store does not answer."""
    parts = _parts_document(await visit.parts.readiness.look())
    told = {"latest": [], "days": [], "most_days": MAX_DAYS, "calendar": _calendar()}
    return {**parts, **told, "away": True}


def _calendar() -> list[str]:
    last = datetime.now(UTC).date()
    return [str(last - timedelta(days=ago)) for ago in reversed(range(MAX_DAYS))]


def _parts_document(ready: Ready) -> Data:
    parts = {name: ready.reasons[name] == "ok" for name in ready.reasons}
    return {"status": ready.status, "parts": parts}


async def faq(visit: Visit) -> Data:
    """Who pays, and the hard limits."""
    hard = visit.parts.catalogue.limits
    return {
        "who_pays": [
            {
                "outcome": outcome.value,
                "charge": ending.charge.name.lower(),
                "counts_rpm": ending.counts_rpm,
                "counts_tpm": ending.counts_tpm,
            }
            for outcome, ending in WHO_PAYS.items()
        ],
        "trial_tokens": hard.free_trial_tokens,
        "hard": {
            "max_inputs_per_request": hard.max_inputs_per_request,
            "max_tokens_per_input": hard.max_tokens_per_input,
            "zero_shot_max_labels": hard.zero_shot_max_labels,
            "few_shot_max_labels": hard.few_shot_max_labels,
            "few_shot_max_classifiers": hard.few_shot_max_classifiers,
            "deepsearch_max_attachment_bytes": hard.deepsearch_max_attachment_bytes,
        },
        "keys_per_address": visit.parts.settings.keys_per_address,
    }


async def sign_in(_visit: Visit) -> Data:
    """How one can sign in is part of every page's session."""
    return {}


async def account(visit: Visit) -> Data:
    """The keys of the account; None for who has none."""
    session = visit.session
    if session is None or session.account_id is None:
        return {"owned": None}
    return {"owned": await account_calls.document(visit)}


VIEWS: Final[Mapping[str, View]] = {
    "front": front,
    "playground": playground,
    "chat": chat,
    "limits": limits,
    "status": status,
    "faq": faq,
    "sign_in": sign_in,
    "account": account,
}


def limits_document(visit: Visit) -> Data:
    """Per product and tier what may be used in any 60 s; null: no bound, or not without a key."""
    rows = []
    for product in visit.parts.catalogue.products.values():
        tiers = {"anonymous": product.anonymous, "key": product.key, "premium": product.premium}
        rows.append(
            {
                "product": product.name,
                "address": address(visit, product),
                "deployed": product.service in visit.parts.settings.service_urls,
                "counts": product.counting.value,
                "minimum_tokens": product.minimum_tokens,
                "tiers": {name: _tier(tier) for name, tier in tiers.items()},
            }
        )
    return {"window_s": 60, "products": rows}


def _tier(tier: Limits | None) -> Data | None:
    if tier is None:
        return None
    return {"rpm": tier.rpm, "tpm": tier.tpm, "concurrency": tier.concurrency}


async def status_document(visit: Visit) -> Data:
    """What the canary saw, without the words of failures, which are for the operator."""
    told = await AdminBooks(visit.parts.shelf).canary({}, {"days": str(MAX_DAYS)}, None)
    ready = await visit.parts.readiness.look()
    document: Data = {"latest": [], "days": []} if isinstance(told, Problem) else told.document
    latest = [
        {name: value for name, value in each.items() if name != "text"}
        for each in document["latest"]
    ]
    return {
        **_parts_document(ready),
        "latest": latest,
        "days": document["days"],
        "most_days": MAX_DAYS,
    }


def products(visit: Visit) -> list[Data]:
    """The products with their addresses, and the path for a page with a session."""
    return [
        {
            "name": product.name,
            "methods": list(product.methods),
            "needs_key": product.needs_key,
            "deployed": product.service in visit.parts.settings.service_urls,
            "address": address(visit, product),
            "path": f"/{product.host}/" if product.takes_rest else product.paths[0],
        }
        for product in visit.parts.catalogue.products.values()
    ]


def root(visit: Visit) -> str:
    """The origin at which this page was asked for, without the label of the pages."""
    host = visit.exchange.headers.get("Host", "") or visit.parts.settings.domain
    return host.removeprefix(_DASH)


def address(visit: Visit, product: Product) -> str:
    """Host and path of a product as whoever sees this page reaches it."""
    host = visit.exchange.headers.get("Host", "")
    path = "/" if product.takes_rest else product.paths[0]
    if host.lower().startswith(_DASH):
        return f"{product.host}.{host[len(_DASH) :]}{path}"
    return f"{host}/{product.host}/" if product.takes_rest else f"{host}{path}"
