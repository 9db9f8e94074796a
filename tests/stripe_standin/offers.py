"""Promotion codes, made by hand: a word that a buyer types, and what it takes off."""

from tests.stripe_standin import money, shapes
from tests.stripe_standin.errors import Obj, invalid
from tests.stripe_standin.world import World


def promotion(world: World, code: str, *, percent: int | None, amount: int, currency: str) -> Obj:
    """A code for a percentage, or for an amount in one currency."""
    if not code or not (percent or amount) or not 0 <= (percent or 0) <= 100:
        raise invalid("A code needs a name, and a percentage or an amount.", "code")
    coupon = shapes.base(world, "coupon", "co", name=code, duration="once", times_redeemed=0)
    coupon |= {"percent_off": percent, "valid": True, "redeem_by": None}
    coupon |= {"amount_off": None if percent else amount, "max_redemptions": None}
    coupon["currency"] = None if percent else money.currency(currency, "currency")
    world.add(coupon)
    made = shapes.base(world, "promotion_code", "promo", active=True, code=code)
    made |= {"promotion": {"coupon": coupon["id"], "type": "coupon"}, "times_redeemed": 0}
    return world.add(made | {"customer": None, "expires_at": None, "max_redemptions": None})
