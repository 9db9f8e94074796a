"""A quarter of the seeds."""

from tests.simulation.redis_store import Talk
from tests.simulation.seams import Holder
from tests.simulation.seeds import run_part


def test_every_promise_holds_in_a_quarter_of_the_seeds_3(talk: Talk, holder: Holder) -> None:
    run_part(3, talk, holder)
