"""The API about what is sold: products, prices, coupons, promotion codes."""

from collections.abc import Sequence

from tests.stripe_standin import basket, money, shapes
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import Obj, invalid
from tests.stripe_standin.form import Params
from tests.stripe_standin.listing import listed
from tests.stripe_standin.routes import Route


class Goods:
    """What can be bought, and what makes it cheaper."""

    def __init__(self, desk: Desk) -> None:
        self._world = desk.world

    def routes(self) -> Sequence[Route]:
        """What is answered here."""
        return (
            Route("POST", "/v1/products", self.create_product),
            Route("GET", "/v1/products", self.products),
            Route("GET", "/v1/products/{}", self.product),
            Route("POST", "/v1/products/{}", self.update_product),
            Route("POST", "/v1/prices", self.create_price),
            Route("GET", "/v1/prices", self.prices),
            Route("GET", "/v1/prices/{}", self.price),
            Route("POST", "/v1/prices/{}", self.update_price),
            Route("POST", "/v1/coupons", self.create_coupon),
            Route("GET", "/v1/coupons", self.coupons),
            Route("GET", "/v1/coupons/{}", self.coupon),
            Route("POST", "/v1/promotion_codes", self.create_promotion),
            Route("GET", "/v1/promotion_codes", self.promotions),
            Route("GET", "/v1/promotion_codes/{}", self.promotion),
        )

    def create_product(self, params: Params) -> Obj:
        """POST /v1/products, with a price too when asked."""
        made = shapes.product(
            self._world,
            params.need("name"),
            description=params.text("description"),
            tax_code=params.text("tax_code"),
            active=params.flag("active") is not False,
            metadata=params.metadata(),
        )
        named = params.text("id")
        made["id"] = named or made["id"]
        if named is not None and self._world.find(named) is not None:
            raise invalid("Product already exists.", "id", "resource_already_exists")
        self._world.add(made)
        data = params.inner("default_price_data")
        if data.values:
            wanted = Params({**data.values, "product": made["id"]}, data.path)
            made["default_price"] = basket.new_price(self._world, wanted)["id"]
        self._world.emit("product.created", made)
        return made

    def products(self, params: Params) -> Obj:
        """GET /v1/products."""
        every = self._world.all("product")
        ids = params.texts("ids")
        kept = [one for one in every if not ids or one["id"] in ids]
        return listed(self._world, kept, params, "/v1/products", ("active",))

    def product(self, params: Params, name: str) -> Obj:
        """GET /v1/products/{}."""
        return self._world.get("product", name)

    def update_product(self, params: Params, name: str) -> Obj:
        """POST /v1/products/{}."""
        found = self._world.get("product", name)
        for field in ("name", "description", "default_price", "tax_code"):
            if params.has(field):
                found[field] = params.text(field)
        self._switch(found, params)
        found["updated"] = self._world.now()
        self._world.emit("product.updated", found)
        return found

    def create_price(self, params: Params) -> Obj:
        """POST /v1/prices."""
        made = basket.new_price(self._world, params)
        made |= {"active": params.flag("active") is not False, "metadata": params.metadata()}
        made["nickname"] = params.text("nickname")
        made["lookup_key"] = params.text("lookup_key")
        options = params.inner("currency_options")
        if options.values:
            made["currency_options"] = {
                code: {"unit_amount": options.inner(code).whole("unit_amount", least=0)}
                for code in options.values
                if money.currency(code, options.full(code))
            }
        self._world.emit("price.created", made)
        return made

    def prices(self, params: Params) -> Obj:
        """GET /v1/prices."""
        keys = params.texts("lookup_keys")
        every = self._world.all("price")
        kept = [one for one in every if not keys or one["lookup_key"] in keys]
        equal = ("active", "currency", "product", "type")
        return listed(self._world, kept, params, "/v1/prices", equal)

    def price(self, params: Params, name: str) -> Obj:
        """GET /v1/prices/{}."""
        return self._world.get("price", name)

    def update_price(self, params: Params, name: str) -> Obj:
        """POST /v1/prices/{}: an amount never changes."""
        found = self._world.get("price", name)
        self._switch(found, params)
        self._world.emit("price.updated", found)
        return found

    def create_coupon(self, params: Params) -> Obj:
        """POST /v1/coupons: a percentage or an amount."""
        amount = params.whole("amount_off", least=1)
        percent = params.text("percent_off")
        if (amount is None) == (percent is None):
            raise invalid("You must pass either percent_off or amount_off", "percent_off")
        code = money.currency(params.need("currency"), "currency") if amount else None
        made = shapes.base(
            self._world,
            "coupon",
            "x",
            amount_off=amount,
            currency=code,
            duration=params.text("duration") or "once",
            duration_in_months=None,
            max_redemptions=params.whole("max_redemptions"),
            metadata=params.metadata(),
            name=params.text("name"),
            percent_off=None if percent is None else float(percent),
            redeem_by=None,
            times_redeemed=0,
            valid=True,
        )
        made["id"] = params.text("id") or made["id"][2:10]
        return self._world.add(made)

    def coupons(self, params: Params) -> Obj:
        """GET /v1/coupons."""
        return listed(self._world, self._world.all("coupon"), params, "/v1/coupons")

    def coupon(self, params: Params, name: str) -> Obj:
        """GET /v1/coupons/{}."""
        return self._world.get("coupon", name)

    def create_promotion(self, params: Params) -> Obj:
        """POST /v1/promotion_codes: the word that a buyer types."""
        promotion = params.inner("promotion")
        promotion.need("type", among=("coupon",))
        coupon = self._world.named("coupon", promotion.need("coupon"), "promotion[coupon]")
        code = params.text("code") or self._world.new_id("p")[2:10].upper()
        made = shapes.base(
            self._world,
            "promotion_code",
            "promo",
            active=params.flag("active") is not False,
            code=code,
            customer=params.text("customer"),
            expires_at=params.whole("expires_at"),
            max_redemptions=params.whole("max_redemptions", least=1),
            metadata=params.metadata(),
            promotion={"coupon": coupon["id"], "type": "coupon"},
            restrictions={
                "first_time_transaction": False,
                "minimum_amount": None,
                "minimum_amount_currency": None,
            },
            times_redeemed=0,
        )
        return self._world.add(made)

    def promotions(self, params: Params) -> Obj:
        """GET /v1/promotion_codes."""
        every = self._world.all("promotion_code")
        return listed(self._world, every, params, "/v1/promotion_codes", ("active", "code"))

    def promotion(self, params: Params, name: str) -> Obj:
        """GET /v1/promotion_codes/{}."""
        return self._world.get("promotion_code", name)

    def _switch(self, found: Obj, params: Params) -> None:
        active = params.flag("active")
        if active is not None:
            found["active"] = active
        if params.has("metadata"):
            found["metadata"] = {**found["metadata"], **params.metadata()}
