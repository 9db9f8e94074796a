"""One of several processes that ask at the same moment; prints how many of its asks passed.

python -m tests.admission.flood URL SUBJECT ASKS LIMIT PLACE
"""

import asyncio
import sys

from gateway.admission.ask import Code
from gateway.admission.gate import Gate
from gateway.redis_link import RedisLink
from tests.admission.asking import Asker, limits


async def wait_for(link: RedisLink, key: str, value: bytes) -> None:
    """Until the key has this value; for a minute and more."""
    for _ in range(60_000):
        if await link.call(None, "GET", key) == value:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{key} never became {value!r}")


async def flood(url: str, subject: str, count: int, limit: int, place: int) -> int:
    link = RedisLink(url, deadline_ms=20_000)
    gate = Gate(link)
    await link.open()
    numbers = iter(range(place * 10_000, (place + 1) * 10_000))
    asker = Asker(subject, limits=limits(rpm=limit), numbers=numbers)
    await link.call(None, "INCR", "ready")
    await wait_for(link, "go", b"1")
    decisions = await asyncio.gather(*(gate.admit(asker.ask()) for _ in range(count)))
    await link.close()
    return sum(d.code is Code.ADMITTED for d in decisions)


if __name__ == "__main__":
    url, subject, *numbers = sys.argv[1:]
    print(asyncio.run(flood(url, subject, *map(int, numbers))))  # noqa: T201
