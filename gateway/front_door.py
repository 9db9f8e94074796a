"""The request path put together, from the listener down: the part of the root that grows most.

Wires, never handles. What lives longer than a request (spool, shipper, stores) is made elsewhere.
"""

from collections.abc import Mapping
from functools import partial

from gateway.admission.alone import Alone
from gateway.billing.house import Billing
from gateway.control.desk import Desk, DeskParts
from gateway.control.readiness import Readiness, SpoolState, stores
from gateway.control.web.site import Site
from gateway.control.web.visit import Web
from gateway.edge.access_log import AccessLog
from gateway.edge.address import Addresses
from gateway.edge.admitting import Admitter
from gateway.edge.deciding import Decider
from gateway.edge.doors import Kind
from gateway.edge.forward import Signer
from gateway.edge.forwarder import Forwarder
from gateway.edge.growing import Grower
from gateway.edge.hosts import Router
from gateway.edge.identify import Identifier
from gateway.edge.measure import Measurer
from gateway.edge.overload import Overload
from gateway.edge.pipeline import Door, Parts, Pipeline
from gateway.edge.pricing import Pricing
from gateway.edge.quoting import Quoter
from gateway.edge.relay import Relay
from gateway.edge.repeats import Repeats
from gateway.edge.room import BodyRoom
from gateway.edge.server import Bounds, Server, make_server
from gateway.edge.shedding import Shedder
from gateway.edge.token_field import TokenField
from gateway.edge.traced import TracedForwarder, TracedPipeline
from gateway.edge.unmetered import Unmetered
from gateway.edge.upstream import Upstreams
from gateway.ground import Ground
from gateway.keys.store import key_store
from gateway.metering.meter import Meter
from gateway.products.estimator import HoldEstimator
from gateway.tokenizer import Tokenizer


def front_door(
    base: Ground,
    meter: Meter,
    upstreams: Upstreams,
    secrets: Mapping[str, str],
    shop: Billing | None,
    repeats: Repeats,
    web: Web,
    overload: Overload,
    alone: Alone,
) -> tuple[Server, Pipeline, Readiness]:
    """The request path on top of everything else."""
    settings, telemetry, gate, book = base.settings, base.telemetry, base.gate, base.book
    keys = key_store(book, secrets["key_pepper"], settings.key_prefix)
    identifier = Identifier(keys, Addresses(settings.trusted_proxies), web.sessions)
    signer = Signer(secrets["internal_secret"].split(",")[0])
    unmetered = Unmetered(upstreams, signer, identifier, book)
    readiness = Readiness(
        stores(base.link, base.postgres),
        lambda: SpoolState(1, int(not meter.healthy)),
        base.conditions.now,
    )
    catalogue, shelf = base.catalogue, base.shelf
    desk = DeskParts(
        settings,
        catalogue,
        book,
        shelf,
        gate,
        keys,
        identifier,
        readiness,
        telemetry,
        base.reserves,
        base.revocations,
        shop,
    )
    doors = {**Desk(desk, Site(desk, web)).doors(), **unmetered.doors()}
    parts = _request_path(
        base, meter, upstreams, identifier, signer, doors, repeats, overload, alone
    )
    tracer = base.tracer
    pipeline = Pipeline(parts) if tracer is None else TracedPipeline(parts, tracer)
    one_in = settings.access_log
    handlers = AccessLog(pipeline, one_in) if one_in else pipeline
    bounds = Bounds(settings.header_deadline_ms, settings.max_connections)
    return make_server(handlers, telemetry, bounds), pipeline, readiness


def _request_path(
    base: Ground,
    meter: Meter,
    upstreams: Upstreams,
    identifier: Identifier,
    signer: Signer,
    doors: Mapping[Kind, Door],
    repeats: Repeats,
    overload: Overload,
    alone: Alone,
) -> Parts:
    """What a product call goes through, and what only asks for its price."""
    settings, gate, book = base.settings, base.gate, base.book
    deadline_ms = settings.body_deadline_ms
    router = Router(base.catalogue.now, settings.domain)
    base.catalogue.follow(router.adopt)
    measurer = Measurer(HoldEstimator(), Tokenizer(), BodyRoom(), deadline_ms)
    forwarding = Forwarder if base.tracer is None else partial(TracedForwarder, base.tracer)
    forwarder = forwarding(upstreams, signer, deadline_ms)
    quoter = Quoter(identifier, measurer, forwarder, gate, alone, book)
    pricing = Pricing(base.catalogue, router, measurer, quoter, deadline_ms)
    return Parts(
        router,
        identifier,
        measurer,
        Admitter(Decider(gate, alone, book, meter), meter, base.telemetry, overload),
        forwarder,
        Relay(meter, base.telemetry, Grower(gate, alone, book)),
        quoter,
        TokenField(settings.key_prefix),
        meter,
        {**doors, **pricing.doors()},
        base.telemetry,
        repeats,
        Shedder(overload, identifier, base.telemetry),
    )
