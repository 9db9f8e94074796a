"""(e) Every node is upgraded, and restarted, one after another under load: nobody notices."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ops.nodes.crowd import Asked, Want
from ops.nodes.packages import ROOT
from ops.nodes.reckoning import Line, none, reckon, told
from ops.nodes.site import Key, Node, Site, migrate
from ops.nodes.waiting import until

RATE = 60.0
_STREAMED_OF_100 = 5


def mixed(keys: list[Key]) -> Callable[[int], Want]:
    """Small answers, and now and then a stream of two seconds, of all these keys in turn."""

    def want(number: int) -> Want:
        key = keys[number % len(keys)]
        kind = "streamed" if number * 37 % 100 < _STREAMED_OF_100 else "small"
        return Want(key.text, key.key_id, 1 + number % 40, kind=kind)

    return want


@asynccontextmanager
async def load(site: Site, keys: list[Key], rate: float = RATE) -> AsyncIterator[list[Asked]]:
    """Ask all the while; at the end the list has what was asked."""
    over, begin, part = asyncio.Event(), len(site.crowd.journal), list[Asked]()
    asking = asyncio.create_task(site.crowd.steady(mixed(keys), rate, over))
    try:
        yield part
    finally:
        over.set()
        await asking
        known = {key.key_id for key in keys}
        part += [each for each in site.crowd.journal[begin:] if each.want.key_id in known]


def failed(part: list[Asked]) -> Line:
    """Requests without a whole answer of the service."""
    wrong = [each for each in part if not each.ok]
    why = sorted(
        {f"{each.node}: {each.status} {each.error or each.body[:150]!r}" for each in wrong}
    )
    return none("failed requests", len(wrong), why="; ".join(why[:4]))


async def upgrade(site: Site, earlier: str) -> list[Line]:
    """From an earlier commit to this one: pre, node by node, post."""
    keys = [await site.mint() for _ in range(6)]
    begun_s = time.monotonic()
    async with load(site, keys) as part:
        await asyncio.sleep(2)
        pre = await migrate(site, ROOT, "pre")
        for node in site.nodes:
            await _replace(site, node)
            await asyncio.sleep(1)
        post = await migrate(site, ROOT, "post")
        await asyncio.sleep(2)
    return [
        told("from", earlier),
        told("migrations before and after the nodes", f"{_short(pre)}; {_short(post)}"),
        told("seconds, requests", f"{time.monotonic() - begun_s:.0f}, {len(part)}"),
        failed(part),
        *(await reckon(site, part)),
    ]


def _short(text: str) -> str:
    return ", ".join(line for line in text.splitlines() if line)


async def _replace(site: Site, node: Node) -> None:
    """SIGTERM, lame duck, drain; then this version on the same disk."""
    codes = await site.stop_node(node)
    assert codes == [0, 0], f"{node.place.name} ended with {codes}"
    await site.start_node(node, code=ROOT)


async def _hang_up(node: Node) -> None:
    """SIGHUP; returns when its gateways are new ones."""
    serve = node.serve
    assert serve is not None

    def said() -> int:
        return serve.words(10**6).count("every gateway process is a new one")

    before = said()

    async def once_more() -> bool:
        return said() > before

    serve.process.send_signal(signal.SIGHUP)
    await until(once_more, 120, 0.1)


async def restarts(site: Site) -> list[Line]:
    """SIGHUP to every node, then every node stopped and started."""
    keys = [await site.mint() for _ in range(6)]
    lines: list[Line] = []
    async with load(site, keys) as part:
        for node in site.nodes:
            await _hang_up(node)
            await site.restart_worker(node)
        await asyncio.sleep(1)
    lines += [told("SIGHUP to each node in turn: requests", len(part)), failed(part)]
    lines += await reckon(site, part)
    async with load(site, keys) as second:
        for node in site.nodes:
            await _replace(site, node)
            await asyncio.sleep(1)
    lines += [told("SIGTERM and start of each node in turn: requests", len(second)), failed(second)]
    lines += await reckon(site, [*part, *second])
    return [*lines, told("sent to another node, nothing having been sent", site.crowd.rerouted)]
