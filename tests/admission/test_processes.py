"""Many processes, one limit."""

import asyncio
import sys

import pytest

from tests.admission.asking import Direct
from tests.admission.flood import wait_for


@pytest.mark.parametrize("processes", [1, 4])
async def test_ten_of_a_hundred_pass_whatever_the_number_of_processes(
    direct: Direct, redis_url: str, processes: int
) -> None:
    words = [redis_url, "a:198.51.100.7", str(100 // processes), "10"]
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.admission.flood",
            *words,
            str(place),
            stdout=asyncio.subprocess.PIPE,
        )
        for place in range(processes)
    ]
    await wait_for(direct.link, "ready", str(processes).encode())
    await direct.link.call(None, "SET", "go", "1")
    told = [await child.communicate() for child in children]
    assert sum(int(out) for out, _ in told) == 10
