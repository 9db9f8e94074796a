"""The pages that a buyer sees: the checkout, the bank's question, the invoice and receipt."""

from html import escape

from aiohttp import web

from tests.stripe_standin import html, invoices, money
from tests.stripe_standin.checkout import Buyer
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.payments import AUTHENTICATES, SETTLES_LATER, SUCCEEDS

# A card's number: how it behaves now, and when it is charged later without the buyer.
CARDS = {
    "4242424242424242": (SUCCEEDS, SUCCEEDS),
    "4000000000000002": ("generic_decline", "generic_decline"),
    "4000000000009995": ("insufficient_funds", "insufficient_funds"),
    "4000000000000069": ("expired_card", "expired_card"),
    "4000002500003155": (AUTHENTICATES, SUCCEEDS),
    "4000002760003184": (AUTHENTICATES, AUTHENTICATES),
    "4000000000000341": (SUCCEEDS, "generic_decline"),
}
_ABOUT = {
    "4242424242424242": "is paid",
    "4000000000000002": "is declined",
    "4000000000009995": "is declined: insufficient funds",
    "4000000000000069": "is declined: expired",
    "4000002500003155": "the bank asks once, then it is paid",
    "4000002760003184": "the bank asks every time: declined when the buyer is not there",
    "4000000000000341": "is paid, and declined when it is charged again",
}


class Hosted:
    """The buyer's side of one stand-in."""

    def __init__(self, desk: Desk) -> None:
        self._world = desk.world
        self._checkout = desk.checkout

    def routes(self) -> list[web.RouteDef]:
        """The addresses of the pages."""
        return [
            web.get("/c/pay/{id}", self.show),
            web.post("/c/pay/{id}", self.pay),
            web.get("/c/prove/{id}", self.ask),
            web.post("/c/prove/{id}", self.prove),
            web.get("/i/{id}", self.invoice),
            web.get("/i/{id}/pdf", self.invoice_pdf),
            web.get("/receipts/{id}", self.receipt),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """The checkout as it stands."""
        self._checkout.expire_due()
        session = self._session(request)
        return self._page(session, Buyer(email=session["customer_email"] or ""))

    async def pay(self, request: web.Request) -> web.StreamResponse:
        """The buyer has pressed a button: look at the price again, or pay."""
        session = self._session(request)
        filled = {name: str(value).strip() for name, value in (await request.post()).items()}
        now, later = SETTLES_LATER, SUCCEEDS
        if filled.get("method") != "bank":
            number = filled.get("card", "").replace(" ", "")
            if number not in CARDS:
                number = "" if number else "4242424242424242"
            now, later = CARDS.get(number, ("incorrect_number", ""))
        buyer = Buyer(
            email=filled.get("email", ""),
            name=filled.get("name", ""),
            country=filled.get("country", "US"),
            promotion_code=filled.get("promotion_code", ""),
            behaviour=now,
            later=later,
        )
        try:
            self._checkout.must_be_open(session)
            self._checkout.price_for(session, buyer)
            if filled.get("do") == "price":
                return self._page(session, buyer)
            if now == "incorrect_number":
                return self._page(session, buyer, "Your card number is incorrect.", 402)
            declined = self._checkout.pay(session, buyer)
        except ApiError as error:
            return self._page(session, buyer, str(error), error.status)
        if declined is not None:
            return self._page(session, buyer, str(declined), declined.status)
        if session["status"] == "open":
            raise web.HTTPSeeOther(f"/c/prove/{session['id']}")
        raise web.HTTPSeeOther(_home(session))

    async def ask(self, request: web.Request) -> web.StreamResponse:
        """The bank asks whether it is the buyer."""
        session = self._session(request)
        return html.page(
            "Your bank asks: is it you?",
            f"<p>{escape(_total(session))} to {escape(_about(session))}</p>",
            html.form(
                f"/c/prove/{session['id']}",
                html.button("Complete authentication", "proof", "pass"),
                html.button("Fail authentication", "proof", "fail"),
            ),
        )

    async def prove(self, request: web.Request) -> web.StreamResponse:
        """The bank has an answer."""
        session = self._session(request)
        passed = (await request.post()).get("proof") == "pass"
        try:
            refused = self._checkout.prove(session, passed=passed)
        except ApiError as error:
            return self._page(session, Buyer(), str(error), error.status)
        if refused is not None:
            email = session["customer_details"]["email"]
            return self._page(session, Buyer(email=email), str(refused), 402)
        raise web.HTTPSeeOther(_home(session))

    async def invoice(self, request: web.Request) -> web.StreamResponse:
        """The invoice as a page."""
        invoice = self._object(request, "invoice")
        rows = [
            (escape(line["description"]), money.shown(line["amount"], line["currency"]))
            for line in invoice["lines"]["data"]
        ]
        return html.page(
            f"Invoice {invoice['number']}",
            html.table(("What", "Amount"), rows),
            f"<p>Paid: <strong>{_paid(invoice)}</strong></p>",
            html.link(invoice["invoice_pdf"], "Download PDF"),
        )

    async def invoice_pdf(self, request: web.Request) -> web.StreamResponse:
        """The invoice as a file."""
        body = invoices.pdf(self._object(request, "invoice"))
        return web.Response(body=body, content_type="application/pdf")

    async def receipt(self, request: web.Request) -> web.StreamResponse:
        """The receipt of a charge."""
        charge = self._object(request, "charge")
        amount = money.shown(charge["amount"], charge["currency"])
        return html.page("Receipt", f"<p>{amount}, {escape(charge['status'])}</p>")

    def _page(
        self, session: Obj, buyer: Buyer, wrong: str = "", status: int = 200
    ) -> web.StreamResponse:
        title = f"Pay {_total(session)}"
        if session["status"] != "open":
            told = {"complete": "This has been paid already.", "expired": "This page has expired."}
            said = html.note(told[session["status"]])
            return html.page("Checkout", said, _way_back(session), status=status)
        parts = [html.note(wrong, bad=True)] if wrong else []
        parts += [_lines(session), self._form(session, buyer), _way_back(session)]
        return html.page(title, *parts, status=status)

    def _form(self, session: Obj, buyer: Buyer) -> str:
        fields = []
        if session["customer_email"] is None and session["customer_creation"] is not None:
            fields.append(html.text("email", "Email", buyer.email, type="email"))
        fields += [
            html.text("name", "Name on card", buyer.name),
            html.choice(
                "country", "Country", {code: code for code in money.COUNTRIES}, buyer.country
            ),
            html.choice("method", "Payment method", {"card": "Card", "bank": "Bank debit"}),
            html.text("card", "Card number", "4242 4242 4242 4242", list="cards"),
            '<datalist id="cards">',
            *(f'<option value="{number}">{_ABOUT[number]}</option>' for number in CARDS),
            "</datalist>",
        ]
        if session["allow_promotion_codes"]:
            fields.append(html.text("promotion_code", "Promotion code", buyer.promotion_code))
        buttons = html.button("Pay", "do", "pay") + html.button("Update price", "do", "price")
        about = "".join(f"<li><code>{number}</code> {_ABOUT[number]}</li>" for number in CARDS)
        return html.form(f"/c/pay/{session['id']}", *fields, f"<p>{buttons}</p>") + (
            f"<details><summary>Card numbers</summary><ul>{about}</ul></details>"
        )

    def _session(self, request: web.Request) -> Obj:
        return self._object(request, "checkout.session")

    def _object(self, request: web.Request, kind: str) -> Obj:
        found = self._world.find(request.match_info["id"])
        if found is None or found["object"] != kind:
            raise web.HTTPNotFound(text="There is nothing here.")
        return found


def _lines(session: Obj) -> str:
    code = session["currency"]
    rows = [
        (escape(line["description"]), money.shown(line["amount_subtotal"], code))
        for line in session["line_items"]["data"]
    ]
    details = session["total_details"]
    if details["amount_discount"]:
        rows.append(("Discount", money.shown(-details["amount_discount"], code)))
    if session["automatic_tax"]["enabled"]:
        rows.append(("Tax", money.shown(details["amount_tax"], code)))
    rows.append(("<strong>Total</strong>", f"<strong>{_total(session)}</strong>"))
    return html.table(("What", "Amount"), rows)


def _total(session: Obj) -> str:
    return money.shown(session["amount_total"], session["currency"])


def _paid(invoice: Obj) -> str:
    return money.shown(invoice["amount_paid"], invoice["currency"])


def _about(session: Obj) -> str:
    return str(session["line_items"]["data"][0]["description"])


def _way_back(session: Obj) -> str:
    url = session["cancel_url"]
    return f"<p>{html.link(url, 'Back without paying')}</p>" if url else ""


def _home(session: Obj) -> str:
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])
