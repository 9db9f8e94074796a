"""What the operations listener works with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.admission.gate import Gate
from gateway.billing.till import Till
from gateway.control.proof import Proof
from gateway.control.readiness import Readiness
from gateway.control.reload import Holder, Reload
from gateway.keys.store import KeyStore
from gateway.ledger.book import Book
from gateway.products.offer import Offer
from gateway.settings import Settings


@dataclass(frozen=True, slots=True)
class OpsParts:
    """Built by the composition root. `keys` is None where the pepper is not known: no minting."""

    settings: Settings
    catalogue: Offer
    book: Book
    gate: Gate
    keys: KeyStore | None
    proof: Proof
    readiness: Readiness
    metrics: Callable[[], bytes]
    till: Till
    reload: Reload
    held: Callable[[], Sequence[Holder]]
