"""What the operations listener works with."""

from dataclasses import dataclass

from gateway.admission.gate import Gate
from gateway.ledger.book import Book
from gateway.ledger.reconcile import Reconciler
from gateway.ledger.shelf import Shelf
from gateway.postgres import Postgres
from gateway.products.product import Catalogue
from gateway.redis_link import RedisLink
from gateway.settings import Settings
from gateway.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class OpsParts:
    """Built by the composition root."""

    settings: Settings
    telemetry: Telemetry
    catalogue: Catalogue
    book: Book
    shelf: Shelf
    gate: Gate
    reconciler: Reconciler
    postgres: Postgres
    link: RedisLink
