"""What a checkout is about: its lines, and what they come to with a discount and tax."""

from tests.stripe_standin import money, shapes
from tests.stripe_standin.errors import Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.world import World


def lines(world: World, params: Params) -> list[Obj]:
    """The line items asked for; ApiError when one cannot be sold."""
    asked = params.items("line_items")
    if not asked:
        raise params.lacks("line_items")
    wanted = [_line(world, one, params.text("currency")) for one in asked]
    if len({line["currency"] for line in wanted}) > 1:
        told = "All prices on a Checkout session must have the same currency"
        raise invalid(told, "line_items")
    return wanted


def _line(world: World, asked: Params, code: str | None) -> Obj:
    price = _price(world, asked)
    currency, unit = price["currency"], int(price["unit_amount"])
    if code is not None and code != currency:
        options = price.get("currency_options", {})
        if code not in options:
            told = f"The price specified does not support the currency {code}"
            raise invalid(told, "currency")
        currency, unit = code, int(options[code]["unit_amount"])
    quantity = asked.whole("quantity", least=1, most=999_999)
    if quantity is None:
        raise asked.lacks("quantity")
    amount = unit * quantity
    product = world.get("product", price["product"])
    return {
        "id": world.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": currency,
        "description": product["description"] or product["name"],
        "metadata": {},
        "price": world.show(price),
        "quantity": quantity,
    }


def _price(world: World, asked: Params) -> Obj:
    name = asked.text("price")
    if name is not None:
        price = world.named("price", name, asked.full("price"))
        if not price["active"]:
            told = "The price specified is inactive. This field only accepts active prices."
            raise invalid(told, asked.full("price"))
        return price
    data = asked.inner("price_data")
    if not data.values:
        raise invalid("You must specify either `price` or `price_data`", asked.full("price"))
    return new_price(world, data)


def new_price(world: World, data: Params) -> Obj:
    """A price from `price_data`, with its product if that is described there."""
    currency = money.currency(data.need("currency"), data.full("currency"))
    amount = data.whole("unit_amount", least=0, most=money.MOST)
    if amount is None:
        amount = int(data.need("unit_amount_decimal"))
    behaviour = data.text("tax_behavior", among=("exclusive", "inclusive", "unspecified"))
    named = data.text("product")
    about = data.inner("product_data")
    if named is not None:
        product = world.named("product", named, data.full("product"))
    elif about.values:
        fields = {"description": about.text("description"), "tax_code": about.text("tax_code")}
        product = shapes.product(world, about.need("name"), **fields)
        world.add(product | {"metadata": about.metadata()})
    else:
        raise data.lacks("product")
    made = shapes.price(
        world, product["id"], currency, amount, tax_behavior=behaviour or "unspecified"
    )
    return world.add(made | {"active": named is not None or not about.values, "metadata": {}})


def total(session: Obj, coupon: Obj | None, country: str | None) -> None:
    """Put discount and tax into the lines and sums of a session."""
    rate = 0
    if session["automatic_tax"]["enabled"] and country is not None:
        rate = money.TAX_PERCENT.get(country, 0)
        session["automatic_tax"]["status"] = "complete"
    items = session["line_items"]["data"]
    subtotal = sum(int(line["amount_subtotal"]) for line in items)
    left = money.off(coupon, subtotal, session["currency"]) if coupon else 0
    discounts = left
    for index, line in enumerate(items):
        # The last line takes what rounding left over.
        share = left if index == len(items) - 1 else discounts * line["amount_subtotal"] // subtotal
        left -= share
        net = int(line["amount_subtotal"]) - share
        inclusive = line["price"]["tax_behavior"] == "inclusive"
        tax = money.tax(net, rate, inclusive=inclusive)
        line |= {
            "amount_discount": share,
            "amount_tax": tax,
            "amount_total": net if inclusive else net + tax,
        }
    session["amount_subtotal"] = subtotal
    session["amount_total"] = sum(int(line["amount_total"]) for line in items)
    session["total_details"] = {
        "amount_discount": discounts,
        "amount_shipping": 0,
        "amount_tax": sum(int(line["amount_tax"]) for line in items),
    }
