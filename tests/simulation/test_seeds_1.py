"""A quarter of the seeds."""

from tests.simulation.redis_store import Talk
from tests.simulation.seams import Holder
from tests.simulation.seeds import run_part


def test_every_promise_holds_in_a_quarter_of_the_seeds_1(talk: Talk, holder: Holder) -> None:
    run_part(1, talk, holder)
