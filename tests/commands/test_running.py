"""How a process of ours runs."""

import gc

from gateway.commands.running import keep_what_stands


def test_collections_pass_over_what_stands_at_the_start() -> None:
    """A full collection of everything that was imported would stop the loop for long."""
    before = gc.get_threshold()
    try:
        stands = [{"made": "at the start"}]
        keep_what_stands()
        frozen = gc.get_freeze_count()
        assert frozen > 1_000
        assert all(each is not stands for each in gc.get_objects())
        born = [{"made": "later"}]
        assert any(each is born for each in gc.get_objects())
        # What some dozens of open requests have does not set one off.
        assert gc.get_threshold()[0] > before[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
