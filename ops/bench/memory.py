"""Memory of a gateway process: at 1,000 open connections, and while 100 MB stream through."""

import asyncio
from contextlib import AsyncExitStack

from aiohttp import ClientSession

from ops.bench.stack import HERE, Stack, different_ports, process, resident_bytes, rich_key

_MB = 1_000_000
_CONNECTIONS = 1_000


async def memory(stack: Stack) -> list[tuple[str, str, str]]:
    """Rows: what, asked, measured."""
    async with AsyncExitStack() as running:
        stub, door = running.enter_context(different_ports(2))
        start = running.enter_async_context
        await start(
            process(str(HERE / "stub.py"), str(stub), environment=stack.environment, port=stub)
        )
        settings = stack.settings(port=door, service_reader_url=f"http://127.0.0.1:{stub}")
        words = ("-m", "gateway", "serve", "--child", "0")
        pid = await start(process(*words, environment=settings, port=door))
        key = await rich_key(stack, door)
        url = f"http://127.0.0.1:{door}/r/stream"
        async with ClientSession(headers={"authorization": f"Bearer {key}"}) as session:
            await _stream(session, url, pid)
            before = resident_bytes(pid)
            size, peak = await _stream(session, url, pid)
        opened = [await asyncio.open_connection("127.0.0.1", door) for _ in range(_CONNECTIONS)]
        for _, writer in opened:
            writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        for reader, _ in opened:
            await reader.readuntil(b"}")
        many = resident_bytes(pid)
        for _, writer in opened:
            writer.close()
    return [
        ("memory per worker at 1,000 open connections", "<= 100 MB", f"{many / _MB:.1f} MB"),
        (
            f"growth while {size / _MB:.0f} MB stream through",
            "<= 5 MB",
            f"{max(0, peak - before) / _MB:.1f} MB",
        ),
    ]


async def _stream(session: ClientSession, url: str, pid: int) -> tuple[int, int]:
    """Read one large answer with short pauses, so that the gateway must hold back the service."""
    size = peak = pieces = 0
    async with session.get(url) as answer:
        assert answer.status == 200, await answer.text()
        async for piece in answer.content.iter_any():
            size += len(piece)
            pieces += 1
            if pieces % 50 == 0:
                await asyncio.sleep(0.002)
                peak = max(peak, resident_bytes(pid))
    return size, peak
