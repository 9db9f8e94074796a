"""Invoices of paid checkouts, with a page and a small PDF."""

from dataclasses import dataclass

from tests.stripe_standin import money, shapes
from tests.stripe_standin.errors import Obj
from tests.stripe_standin.world import World


@dataclass(frozen=True, slots=True)
class Invoices:
    """The invoices of one world."""

    world: World

    def paid(self, session: Obj) -> Obj:
        """The invoice of a session that is paid, with its events."""
        invoice = self._shape(session)
        self.world.add(invoice)
        for kind in ("created", "finalized", "paid", "payment_succeeded"):
            self.world.emit(f"invoice.{kind}", invoice)
        return invoice

    def _shape(self, session: Obj) -> Obj:
        world, total = self.world, int(session["amount_total"])
        details = session["total_details"]
        data = session["invoice_creation"]["invoice_data"]
        number = len(world.all("invoice")) + 1
        invoice = shapes.base(world, "invoice", "in", currency=session["currency"])
        page = f"{world.base_url}/i/{invoice['id']}"
        customer = world.find(session["customer"]) or {}
        now = world.now()
        tax = int(details["amount_tax"])
        return invoice | {
            "account_country": "US",
            "account_name": "Stand-in",
            "amount_due": total,
            "amount_overpaid": 0,
            "amount_paid": total,
            "amount_remaining": 0,
            "amount_shipping": 0,
            "attempt_count": 1,
            "attempted": True,
            "auto_advance": False,
            "automatic_tax": dict(session["automatic_tax"]),
            "billing_reason": "manual",
            "collection_method": "send_invoice",
            "customer": session["customer"],
            "customer_address": session["customer_details"]["address"],
            "customer_email": session["customer_details"]["email"],
            "customer_name": session["customer_details"]["name"],
            "customer_tax_exempt": "none",
            "customer_tax_ids": [],
            "default_payment_method": None,
            "default_tax_rates": [],
            "description": data["description"],
            "discounts": [],
            "due_date": now,
            "effective_at": now,
            "ending_balance": 0,
            "footer": data["footer"],
            "hosted_invoice_url": page,
            "invoice_pdf": f"{page}/pdf",
            "issuer": {"type": "self"},
            "lines": self._lines(session, invoice["id"]),
            "metadata": dict(data["metadata"]),
            "number": f"{customer.get('invoice_prefix', 'STANDIN')}-{number:04}",
            "parent": None,
            "payments": self._payments(session, invoice["id"]),
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "receipt_number": None,
            "starting_balance": 0,
            "status": "paid",
            "status_transitions": {
                "finalized_at": now,
                "marked_uncollectible_at": None,
                "paid_at": now,
                "voided_at": None,
            },
            "subtotal": session["amount_subtotal"],
            "subtotal_excluding_tax": session["amount_subtotal"],
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": total - tax,
            "total_taxes": [{"amount": tax, "type": "tax_rate_details"}] if tax else [],
            "webhooks_delivered_at": now,
        }

    def _lines(self, session: Obj, name: str) -> Obj:
        now = self.world.now()
        data = [
            {
                "id": self.world.new_id("il"),
                "object": "line_item",
                "amount": line["amount_subtotal"],
                "currency": line["currency"],
                "description": line["description"],
                "discountable": True,
                "discounts": [],
                "invoice": name,
                "livemode": False,
                "metadata": {},
                "period": {"end": now, "start": now},
                "pricing": {
                    "price_details": {
                        "price": line["price"]["id"],
                        "product": line["price"]["product"],
                    },
                    "type": "price_details",
                    "unit_amount_decimal": line["price"]["unit_amount_decimal"],
                },
                "quantity": line["quantity"],
                "subtotal": line["amount_subtotal"],
            }
            for line in session["line_items"]["data"]
        ]
        return {
            "object": "list",
            "data": data,
            "has_more": False,
            "url": f"/v1/invoices/{name}/lines",
        }

    def _payments(self, session: Obj, name: str) -> Obj:
        intent = session["payment_intent"]
        url = "/v1/invoice_payments"
        if intent is None:
            return {"object": "list", "data": [], "has_more": False, "url": url}
        paid = shapes.base(self.world, "invoice_payment", "inpay", currency=session["currency"])
        del paid["metadata"]
        paid |= {
            "amount_paid": session["amount_total"],
            "amount_requested": session["amount_total"],
            "invoice": name,
            "is_default": True,
            "payment": {"payment_intent": intent, "type": "payment_intent"},
            "status": "paid",
            "status_transitions": {"canceled_at": None, "paid_at": self.world.now()},
        }
        self.world.add(paid)
        return {"object": "list", "data": [dict(paid)], "has_more": False, "url": url}


def pdf(invoice: Obj) -> bytes:
    """One page that says what was paid."""
    words = [
        f"Invoice {invoice['number']} (stand-in, no real money)",
        f"Paid: {money.shown(invoice['amount_paid'], invoice['currency'])}",
        f"By: {invoice['customer_email']}",
    ]
    drawn = " ".join(f"({_plain(word)}) Tj 0 -24 Td" for word in words)
    stream = f"BT /F1 14 Tf 72 720 Td {drawn} ET".encode("latin-1", "replace")
    parts = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, part in enumerate(parts, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, part)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(parts) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % size
    tail = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(out))
    return out + head + table + tail


def _plain(word: str) -> str:
    return word.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
