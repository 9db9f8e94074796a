"""The operator's page at `/_control`: everything that has happened, and a button for each deed."""

from collections.abc import Mapping, Sequence
from html import escape

from aiohttp import web

from tests.stripe_standin import html, money
from tests.stripe_standin.control import Control
from tests.stripe_standin.courier import Courier
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.faults import KINDS, Faults
from tests.stripe_standin.payments import AUTHENTICATES, DECLINES, SUCCEEDS
from tests.stripe_standin.reversals import OPEN

_MOST_SHOWN = 50


class ControlPage:
    """The page, and the form behind each of its buttons."""

    def __init__(self, desk: Desk, courier: Courier, faults: Faults) -> None:
        self._world = desk.world
        self._courier = courier
        self._faults = faults
        self._control = Control(desk, courier, faults)

    def routes(self) -> list[web.RouteDef]:
        """Its address."""
        return [
            web.get("/", self.show),
            web.get("/_control", self.show),
            web.post("/_control", self.do),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """How everything stands."""
        return self._page(request.query.get("said", ""))

    async def do(self, request: web.Request) -> web.StreamResponse:
        """Do what a button says, and show how things stand then."""
        told = {name: str(value).strip() for name, value in (await request.post()).items()}
        try:
            said = await self._control.do(told)
        except (ApiError, ValueError) as error:
            return self._page(str(error), bad=True)
        raise web.HTTPSeeOther(request.rel_url.with_query(said=said))

    def _page(self, said: str, *, bad: bool = False) -> web.StreamResponse:
        parts = [html.note(said, bad=bad)] if said else []
        parts += [self._sessions(), self._charges(), self._refunds(), self._disputes()]
        parts += [self._cards(), self._codes(), self._webhooks(), self._api(), self._events()]
        return html.page("Control", *parts, status=400 if bad else 200)

    def _sessions(self) -> str:
        rows = []
        for one in self._world.all("checkout.session")[:_MOST_SHOWN]:
            intent = self._world.find(one["payment_intent"]) or {}
            deeds = []
            if one["status"] == "open":
                deeds += [html.link(one["url"], "Pay"), " ", _deed("expire", one, "Expire")]
            if intent.get("status") == "processing":
                deeds += [_deed("settle", one, "Settle"), _deed("bounce", one, "Bounce")]
            if one["invoice"]:
                deeds.append(html.link(f"/i/{one['invoice']}", "Invoice"))
            state = f"{one['status']}, {one['payment_status']}"
            amount = money.shown(one["amount_total"], one["currency"])
            rows.append((_id(one), amount, state, "".join(deeds)))
        return _section("Checkout sessions", ("Id", "Amount", "State", "Do"), rows)

    def _charges(self) -> str:
        rows = []
        for one in self._world.all("charge")[:_MOST_SHOWN]:
            deeds = ""
            if one["status"] == "succeeded":
                label = f'<label for="a-{one["id"]}">Amount (empty: all)</label>'
                field = f'<input id="a-{one["id"]}" name="amount" inputmode="numeric" size="6">'
                how = html.button("Refund", "how", "now") + html.button(
                    "Refund, pending", "how", "pending"
                )
                deeds = _form("refund", one, label + field + how)
                deeds += _form(
                    "dispute",
                    one,
                    html.button("Dispute", "how", "dispute")
                    + html.button("Inquiry", "how", "inquiry"),
                )
            back = money.shown(one["amount_refunded"], one["currency"])
            state = one["status"] + (", disputed" if one["disputed"] else "")
            amount = money.shown(one["amount"], one["currency"])
            rows.append((_id(one), amount, f"{state}, refunded {back}", deeds))
        return _section("Charges", ("Id", "Amount", "State", "Do"), rows)

    def _refunds(self) -> str:
        rows = []
        for one in self._world.all("refund")[:_MOST_SHOWN]:
            deeds = ""
            if one["status"] != "failed":
                deeds += _deed("refund_fails", one, "Fails")
            if one["status"] == "pending":
                deeds += _deed("refund_arrives", one, "Arrives")
            rows.append(
                (_id(one), money.shown(one["amount"], one["currency"]), one["status"], deeds)
            )
        return _section("Refunds", ("Id", "Amount", "State", "Do"), rows)

    def _disputes(self) -> str:
        rows = []
        for one in self._world.all("dispute")[:_MOST_SHOWN]:
            deeds = ""
            if one["status"] in OPEN:
                deeds = _deed("respond", one, "Hand evidence in") + _deed("won", one, "Won")
                deeds += _deed("lost", one, "Lost")
            if one["status"] == "lost":
                deeds = _deed("appeal", one, "Appeal")
            if one["status"].startswith("warning_") and one["status"] in OPEN:
                deeds += _deed("escalate", one, "Escalate")
            rows.append(
                (_id(one), money.shown(one["amount"], one["currency"]), one["status"], deeds)
            )
        return _section("Disputes", ("Id", "Amount", "State", "Do"), rows)

    def _cards(self) -> str:
        rows = []
        for one in self._world.all("payment_method")[:_MOST_SHOWN]:
            if one["customer"] is None:
                continue
            now = self._world.behaviour.get(one["id"], SUCCEEDS)
            options = "".join(
                f"<option{' selected' if word == now else ''}>{word}</option>"
                for word in (SUCCEEDS, AUTHENTICATES, *DECLINES)
            )
            field = f'<label for="b-{one["id"]}">Next payment</label>'
            field += f'<select id="b-{one["id"]}" name="how">{options}</select>'
            rows.append(
                (
                    _id(one),
                    escape(one["customer"]),
                    _form("behave", one, field + html.button("Set")),
                )
            )
        return _section("Saved cards", ("Id", "Customer", "Do"), rows)

    def _codes(self) -> str:
        rows = []
        for one in self._world.all("promotion_code")[:_MOST_SHOWN]:
            coupon = self._world.get("coupon", one["promotion"]["coupon"])
            off = coupon["percent_off"]
            told = f"{off:g} %" if off else money.shown(coupon["amount_off"], coupon["currency"])
            rows.append((escape(one["code"]), told, str(one["times_redeemed"])))
        return _section("Promotion codes", ("Code", "Off", "Used"), rows) + html.form(
            "/_control",
            _hidden("do", "promotion"),
            html.text("code", "New code"),
            html.text("percent", "Percent off", "50"),
            f"<p>{html.button('Make it')}</p>",
        )

    def _webhooks(self) -> str:
        courier = self._courier
        url = ", ".join(one.url for one in courier.endpoints) or "nowhere"
        state = "held back" if courier.holding else "delivered"
        told = f"Events are {state}, to {url}. Held: {len(courier.held)}, "
        told += f"on their way: {courier.waiting}, lost: {len(courier.lost)}."
        return "".join(
            (
                "<section><h2>Webhooks</h2>",
                f"<p>{escape(told)}</p>",
                _form("hold", None, html.button("Hold back")),
                _form("release", None, html.button("Deliver all, be normal")),
                _form("reorder", None, html.button("Deliver held ones in another order")),
                html.form(
                    "/_control",
                    _hidden("do", "courier"),
                    html.text("copies", "Copies of each event", str(courier.copies)),
                    html.text("delay_s", "Late by seconds", f"{courier.delay_s:g}"),
                    html.text("shuffle_s", "And by up to so many more", f"{courier.shuffle_s:g}"),
                    f"<p>{html.button('Set')}</p>",
                ),
                html.form(
                    "/_control",
                    _hidden("do", "lose"),
                    html.text("kind", "Lose the next events of the type", "*", id="losing"),
                    html.text("times", "How many", "1"),
                    f"<p>{html.button('Lose them')}</p>",
                ),
                html.form(
                    "/_control",
                    _hidden("do", "version"),
                    html.text("version", "API version of events", self._world.api_version),
                    f"<p>{html.button('Set version')}</p>",
                ),
                "</section>",
            )
        )

    def _api(self) -> str:
        on = "; ".join(f"{one.kind} {one.path} {one.times or ''}" for one in self._faults.on)
        return "".join(
            (
                "<section><h2>The API</h2>",
                f"<p>Outages: {escape(on or 'none')}</p>",
                html.form(
                    "/_control",
                    _hidden("do", "outage"),
                    html.choice("kind", "Outage", {kind: kind for kind in KINDS}),
                    html.text("path", "Of requests to", "*"),
                    html.text("status", "Status", "503"),
                    html.text("seconds", "Seconds (slow)", "0"),
                    html.text("times", "How many requests (empty: all)", "", id="outages"),
                    f"<p>{html.button('Begin')}</p>",
                ),
                _form("well", None, html.button("End all outages")),
                html.form(
                    "/_control",
                    _hidden("do", "advance"),
                    html.text("seconds", "Let seconds pass", "86400", id="passing"),
                    f"<p>{html.button('Let time pass')}</p>",
                ),
                "</section>",
            )
        )

    def _events(self) -> str:
        tried: dict[str, list[str]] = {}
        for attempt in self._courier.attempts:
            tried.setdefault(attempt.event_id, []).append(str(attempt.status or "no answer"))
        held = {one["id"] for one in self._courier.held}
        rows = []
        for one in self._world.all("event")[:_MOST_SHOWN]:
            state = "held" if one["id"] in held else ", ".join(tried.get(one["id"], ["not sent"]))
            rows.append(
                (_id(one), escape(one["type"]), state, _deed("deliver", one, "Deliver now"))
            )
        return _section("Events", ("Id", "Type", "Answers", "Do"), rows)


def _section(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    body = html.table(head, rows) if rows else "<p>None yet.</p>"
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _deed(do: str, thing: Obj, words: str) -> str:
    return _form(do, thing, html.button(words))


def _form(do: str, thing: Mapping[str, str] | None, inside: str) -> str:
    named = _hidden("id", thing["id"]) if thing is not None else ""
    return html.form("/_control", _hidden("do", do), named, inside, kind="line")


def _hidden(name: str, value: str) -> str:
    return f'<input type="hidden" name="{name}" value="{escape(value)}">'


def _id(thing: Obj) -> str:
    return f'<code title="{thing["id"]}">{escape(thing["id"][:14])}…</code>'
