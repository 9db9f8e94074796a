"""All the parts of one stand-in that know about objects, put together."""

from tests.stripe_standin.checkout import Checkout
from tests.stripe_standin.invoices import Invoices
from tests.stripe_standin.payments import Payments
from tests.stripe_standin.reversals import Reversals
from tests.stripe_standin.world import World


class Desk:
    """A world, and those who may change it."""

    def __init__(self) -> None:
        self.world = World()
        self.payments = Payments(self.world)
        self.reversals = Reversals(self.world, self.payments)
        self.invoices = Invoices(self.world)
        self.checkout = Checkout(self.world, self.payments, self.invoices)
