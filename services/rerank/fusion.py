"""Weighs dense against lexical evidence and gives every document a score from 0 to 1. Pure.

It refuses nothing. Where the model can read the query, likeness in meaning counts more than twice
likeness in words; where it cannot, words decide. The numbers were chosen on the hand-written pairs
of the tests and on Python's documentation (ops/bench/quality_order.py); both change little between
half and twice the lexical weight.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from services.models.windows import Floats

DENSE_FAMILIAR: Final = 1.0
LEXICAL_FAMILIAR: Final = 0.4
# Texts in a script that the model does not know are all much alike to it.
DENSE_FOREIGN: Final = 0.4
LEXICAL_FOREIGN: Final = 0.8
# Where a document is as likely to answer as not, and how fast that changes.
MIDDLE: Final = 0.4
STEEPNESS: Final = 9.0


def best_windows(query: Floats, windows: Floats, owners: Sequence[int], count: int) -> Floats:
    """For each document the highest cosine of its windows; vectors must have length 1."""
    best = np.full(count, -1.0, np.float32)
    np.maximum.at(best, np.asarray(owners, np.intp), windows @ query)
    return best


def scores(dense: Floats, lexical: Floats, familiar: float) -> Floats:
    """The scores; `familiar` is the share of the query that the model can read."""
    dense_weight = DENSE_FOREIGN + (DENSE_FAMILIAR - DENSE_FOREIGN) * familiar
    lexical_weight = LEXICAL_FOREIGN + (LEXICAL_FAMILIAR - LEXICAL_FOREIGN) * familiar
    evidence = dense_weight * dense + lexical_weight * lexical
    found: Floats = (1 / (1 + np.exp(-STEEPNESS * (evidence - MIDDLE)))).astype(np.float32)
    return found
