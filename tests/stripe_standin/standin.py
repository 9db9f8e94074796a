"""The stand-in as one object: a server on loopback, and the hands that a test moves it with."""

from types import TracebackType
from typing import Self

from aiohttp import web

from tests.stripe_standin import offers
from tests.stripe_standin.api import Api, Seen
from tests.stripe_standin.checkout import Buyer
from tests.stripe_standin.control_page import ControlPage
from tests.stripe_standin.courier import Courier, Endpoint
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.faults import Faults
from tests.stripe_standin.hosted import Hosted
from tests.stripe_standin.payments import SETTLES_LATER, SUCCEEDS

SECRET_KEY = "sk_test_standin"
WEBHOOK_SECRET = "whsec_standin"


class StandIn:
    """A Stripe of one's own; see the package's docstring."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        webhook_url: str | None = None,
        secret_key: str = SECRET_KEY,
        webhook_secret: str = WEBHOOK_SECRET,
    ) -> None:
        self.secret_key = secret_key
        self.webhook_secret = webhook_secret
        self.desk = Desk()
        self.courier = Courier(self.desk.world)
        self._api = Api(self.desk, self.courier, {secret_key})
        self._runner: web.AppRunner | None = None
        self._host, self.port = host, port
        if webhook_url is not None:
            self.webhook_url = webhook_url

    @property
    def base_url(self) -> str:
        """What SLUICE_STRIPE_API_BASE is set to."""
        return self.desk.world.base_url

    @property
    def faults(self) -> Faults:
        """Outages of the API: `faults.add(Fault(STATUS, status=503, times=2))`."""
        return self._api.faults

    @property
    def requests(self) -> list[Seen]:
        """Every request to the API so far, oldest first."""
        return self._api.seen

    @property
    def webhook_url(self) -> str | None:
        """Where events go; None: nowhere, they are only recorded."""
        return self.courier.endpoints[0].url if self.courier.endpoints else None

    @webhook_url.setter
    def webhook_url(self, url: str | None) -> None:
        self.courier.endpoints[:] = [Endpoint(url, [self.webhook_secret])] if url else []

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/v1/{tail:.*}", self._api.handle)
        app.add_routes(Hosted(self.desk).routes())
        app.add_routes(ControlPage(self.desk, self.courier, self.faults).routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.desk.world.base_url = f"http://{self._host}:{self.port}"
        await self.courier.start()

    async def stop(self) -> None:
        """Listen and deliver no more."""
        await self.courier.stop()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def pay(
        self,
        session_id: str,
        *,
        email: str = "buyer@example.com",
        country: str = "US",
        promotion_code: str = "",
        behaviour: str = SUCCEEDS,
    ) -> Obj:
        """A buyer pays on the hosted page; the session afterwards. ApiError when declined.

        `behaviour`: SUCCEEDS, SETTLES_LATER (then `settle` or `bounce`), AUTHENTICATES (then
        `prove`), or one of DECLINES.
        """
        buyer = Buyer(
            email=email, country=country, promotion_code=promotion_code, behaviour=behaviour
        )
        session = self.session(session_id)
        declined = self.desk.checkout.pay(session, buyer)
        if declined is not None:
            raise declined
        return session

    async def decline(self, session_id: str, why: str = "generic_decline") -> Obj:
        """A buyer's card is declined; the session stays open."""
        try:
            await self.pay(session_id, behaviour=why)
        except ApiError as error:
            if error.status != 402:
                raise
        return self.session(session_id)

    async def abandon(self, session_id: str) -> Obj:
        """A buyer leaves, and the time of the session runs out."""
        return self.desk.checkout.expire(self.session(session_id))

    async def pay_by_debit(self, session_id: str) -> Obj:
        """A buyer pays by bank debit: complete, and unpaid until `settle` or `bounce`."""
        return await self.pay(session_id, behaviour=SETTLES_LATER)

    async def prove(self, session_id: str, *, passed: bool = True) -> Obj:
        """The buyer's bank did, or did not, recognise the buyer."""
        session = self.session(session_id)
        self.desk.checkout.prove(session, passed=passed)
        return session

    def late_invoices(self) -> None:
        """From now on no session has an invoice until `issue_invoice`."""
        self.desk.world.invoices_late = True

    async def issue_invoice(self, session_id: str) -> Obj:
        """The invoice of a paid session, late, with its events."""
        session = self.session(session_id)
        self.desk.checkout.issue(session)
        return self.object(session["invoice"])

    async def settle(self, name: str) -> None:
        """A debit (of a session or an intent) came in."""
        await self._end(name, succeeded=True)

    async def bounce(self, name: str) -> None:
        """A debit (of a session or an intent) did not come in."""
        await self._end(name, succeeded=False)

    async def refund(self, name: str, amount: int | None = None, *, pending: bool = False) -> Obj:
        """Refund a session, intent or charge, a part or what is left."""
        return self.desk.reversals.refund(self.charge(name), amount, pending=pending)

    async def refund_fails(self, refund_id: str) -> Obj:
        """A refund comes back: the buyer's bank did not take it."""
        return self.desk.reversals.refund_ends(self.object(refund_id), failed=True)

    async def refund_arrives(self, refund_id: str) -> Obj:
        """A pending refund succeeded."""
        return self.desk.reversals.refund_ends(self.object(refund_id), failed=False)

    async def dispute(self, name: str, amount: int | None = None, *, inquiry: bool = False) -> Obj:
        """The buyer's bank asks for the money back; an inquiry only asks."""
        return self.desk.reversals.open_dispute(self.charge(name), amount, inquiry=inquiry)

    async def escalate(self, dispute_id: str) -> Obj:
        """An inquiry becomes a dispute that withdraws the money."""
        return self.desk.reversals.escalate(self.object(dispute_id))

    async def win(self, dispute_id: str) -> Obj:
        """The dispute ends for the seller."""
        return self.desk.reversals.close_dispute(self.object(dispute_id), "won")

    async def lose(self, dispute_id: str) -> Obj:
        """The dispute ends for the buyer."""
        return self.desk.reversals.close_dispute(self.object(dispute_id), "lost")

    async def appeal(self, dispute_id: str) -> Obj:
        """A lost dispute is open once more; then `win` or `lose` it again."""
        return self.desk.reversals.appeal(self.object(dispute_id))

    def behave(self, payment_method: str, behaviour: str) -> None:
        """How a saved card behaves from now on."""
        self.object(payment_method)
        self.desk.world.behaviour[payment_method] = behaviour

    def promotion(
        self, code: str, *, percent: int | None = None, amount: int = 0, currency: str = "usd"
    ) -> Obj:
        """A word that makes it cheaper, by a percentage or an amount."""
        return offers.promotion(
            self.desk.world, code, percent=percent, amount=amount, currency=currency
        )

    def advance(self, seconds: int) -> None:
        """Let time pass here: sessions past their time expire, with their events."""
        self.desk.world.offset_s += seconds
        self.desk.checkout.expire_due()

    def use_version(self, version: str) -> None:
        """The API version that events are made in, perhaps an old one."""
        self.desk.world.api_version = version

    def session(self, session_id: str) -> Obj:
        """The session as it is."""
        return self.desk.world.get("checkout.session", session_id)

    def object(self, name: str) -> Obj:
        """Any object as it is."""
        found = self.desk.world.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def charge(self, name: str) -> Obj:
        """The newest charge of a session, an intent, or the charge itself."""
        found = self.object(name)
        if found["object"] == "checkout.session":
            found = self.object(found["payment_intent"])
        if found["object"] == "payment_intent":
            found = self.object(found["latest_charge"])
        return found

    def events(self, kind: str | None = None) -> list[Obj]:
        """What has happened, oldest first."""
        every = list(reversed(self.desk.world.all("event")))
        return [one for one in every if kind in (None, one["type"])]

    async def idle(self, within_s: float = 60.0) -> None:
        """Wait until every event is delivered or given up."""
        await self.courier.idle(within_s)

    async def _end(self, name: str, *, succeeded: bool) -> None:
        found = self.object(name)
        if found["object"] == "checkout.session":
            self.desk.checkout.settle(found, succeeded=succeeded)
        elif succeeded:
            self.desk.payments.settle(found)
        else:
            self.desk.payments.bounce(found)
