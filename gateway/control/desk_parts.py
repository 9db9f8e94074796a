"""What the control API's handlers work with."""

from dataclasses import dataclass

from gateway.admission.gate import Gate
from gateway.admission.reserves import Reserves
from gateway.billing.house import Billing
from gateway.control.readiness import Readiness
from gateway.edge.identify import Identifier
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.ledger.shelf import Shelf
from gateway.metering.revocations import Revocations
from gateway.products.offer import Offer
from gateway.settings import Settings
from gateway.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class DeskParts:
    """Built by the composition root."""

    settings: Settings
    catalogue: Offer
    book: Book
    shelf: Shelf
    gate: Gate
    keys: KeyStore
    identifier: Identifier
    readiness: Readiness
    telemetry: Telemetry
    reserves: Reserves
    revocations: Revocations
    billing: Billing | None = None
