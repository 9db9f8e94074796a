"""All 96 cells, and the quarter of them that a run of the suite takes.

A quarter has three cells of each target; four quarters have all. Which one is `FAULTS_QUARTER`
(0 to 3), else the day's number: so the same day gives the same cells wherever it runs.
"""

import os
import time

from tests.faults.cell import Cell
from tests.faults.points import Point
from tests.faults.targets import Target

QUARTERS = 4
# Of each target in a quarter.
PER_TARGET = 3
_DAY_S = 86_400


def every_cell() -> list[Cell]:
    """Eight targets, six points, whole and streamed."""
    return [
        Cell(target, point, streamed)
        for target in Target
        for point in Point
        for streamed in (False, True)
    ]


def quarter_of(number: int) -> list[Cell]:
    """Three of each target, other points for each target."""
    return [
        cell
        for target_number, target in enumerate(Target)
        for place, cell in enumerate(each for each in every_cell() if each.target is target)
        if (place + target_number) % QUARTERS == number % QUARTERS
    ]


def quarter_of_today() -> int:
    """As the module says."""
    text = os.environ.get("FAULTS_QUARTER", "")
    return int(text) % QUARTERS if text else int(time.time() // _DAY_S) % QUARTERS
