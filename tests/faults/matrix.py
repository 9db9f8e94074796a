"""All 96 cells, and the quarters of them: three cells of each target; four quarters have all."""

from tests.faults.crowd import Cell
from tests.faults.points import Point
from tests.faults.quarter import QUARTERS
from tests.faults.targets import Target

# Of each target in a quarter.
PER_TARGET = 3


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
