"""The other half of it: Redis, link to PostgreSQL, gateway and worker, link to Stripe.

`make faults` runs all; `FAULTS_QUARTER=2` chooses a quarter (0 to 3), else the day does.
"""

import pytest

from tests.faults.conftest import Houses
from tests.faults.matrix import PER_TARGET, quarter_of
from tests.faults.quarter import quarter_of_today
from tests.faults.run import one
from tests.faults.targets import Target

TARGETS = (Target.REDIS, Target.POSTGRES_LINK, Target.GATEWAY_WORKER, Target.STRIPE_LINK)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("place", range(PER_TARGET))
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name.lower())
async def test_nothing_is_lost_doubled_or_charged_in_vain(
    houses: Houses, target: Target, place: int
) -> None:
    """Of 200 requests with a fault in the midst of them, in one cell."""
    quarter = quarter_of_today()
    cell = [each for each in quarter_of(quarter) if each.target is target][place]
    house = await houses.house()
    try:
        found = await one(house, cell)
        assert not found.wrong, f"FAULTS_QUARTER={quarter}, {cell.name}: {found.wrong}"
    except BaseException:
        # What a cell has broken is not the next one's.
        await houses.close()
        raise
