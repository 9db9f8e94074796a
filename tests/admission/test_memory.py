"""How much Redis keeps per subject: bounded, whatever the limit, in the compact encoding."""

import random

from gateway.admission.ask import Code
from gateway.admission.scripts import requests_key, tokens_key
from gateway.units import WINDOW_US
from tests.admission.asking import START_US, Asker, Direct, limits

# design/money-and-limits.md, section 2.
MOST_BYTES = 7_300
MOST_FIELDS = 250


async def test_windows_stay_compact_however_large_the_limit_is(direct: Direct) -> None:
    """An admission about every d for three windows: as many entries as there can be."""
    rng = random.Random(1)
    asker = Asker("a:203.0.113.77", limits=limits(rpm=5_000, tpm=5_000_000))
    now_us, most_bytes, most_fields = START_US, 0, 0
    keys = [
        make(asker.ask().tag, asker.subject, asker.product) for make in (requests_key, tokens_key)
    ]
    while now_us < START_US + 3 * WINDOW_US:
        for _ in range(rng.randrange(1, 21)):
            decision = await direct.admit(asker.ask(rng.randrange(1_000)), now_us)
            assert decision.code in (Code.ADMITTED, Code.TPM, Code.RPM)
        now_us += 250_000
        used = 0
        for key in keys:
            assert await direct.call(asker.subject, "OBJECT", "ENCODING", key) == b"ziplist"
            memory = await direct.call(asker.subject, "MEMORY", "USAGE", key)
            fields = await direct.call(asker.subject, "HLEN", key)
            assert isinstance(memory, int)
            assert isinstance(fields, int)
            used += memory
            most_fields = max(most_fields, fields)
        most_bytes = max(most_bytes, used)
    assert most_fields <= MOST_FIELDS
    assert most_fields > 240, "the traffic was meant to fill the log"
    assert most_bytes <= MOST_BYTES
