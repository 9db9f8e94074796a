"""What hostile clients do: connections without a word, half heads, slow bodies, floods, garbage.

Refuses to end by itself before its time: `hostile` measures meanwhile.
"""

import asyncio
import contextlib
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

POST: Final = b"POST /v1/embeddings HTTP/1.1\r\nhost: api.localhost\r\n"
_OPENED_AT_ONCE: Final = 100
_HEALTH: Final = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
_HALF: Final = POST + b"x-slow: "
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _open(port: int, number: int) -> list[Pair]:
    pairs: list[Pair] = []
    while len(pairs) < number:
        some = min(_OPENED_AT_ONCE, number - len(pairs))
        pairs += await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", port) for _ in range(some))
        )
    return pairs


async def _status(pair: Pair) -> str:
    """What a connection was told in the end; `open` when nothing was."""
    try:
        line = await asyncio.wait_for(pair[0].readline(), 0.001)
    except TimeoutError:
        return "open"
    except (OSError, ValueError):
        return "reset"
    return line[9:12].decode("latin-1") or "closed"


async def idle(port: int, number: int) -> list[Pair]:
    """Connected, and silent."""
    return await _open(port, number)


async def kept(port: int, number: int) -> list[Pair]:
    """One request each, then silent."""
    pairs = await _open(port, number)
    for at in range(0, number, _OPENED_AT_ONCE):
        some = pairs[at : at + _OPENED_AT_ONCE]
        for _, writer in some:
            writer.write(_HEALTH)
        for reader, _ in some:
            await reader.readuntil(b"}")
    return pairs


async def _trickle(pairs: list[Pair], byte: bytes) -> None:
    """A byte a second on each, spread over the second."""
    while True:
        for at in range(0, len(pairs), max(1, len(pairs) // 20)):
            for _, writer in pairs[at : at + max(1, len(pairs) // 20)]:
                if not writer.is_closing():
                    writer.write(byte)
            await asyncio.sleep(0.05)


async def heads(port: int, number: int) -> list[Pair]:
    """Half a head each, and a byte more a second."""
    pairs = await _open(port, number)
    for _, writer in pairs:
        writer.write(_HALF)
    return pairs


async def floods(port: int, number: int) -> list[Pair]:
    """60 KB of a head that does not end, each in small fields."""
    pairs = await _open(port, number)
    for _, writer in pairs:
        writer.write(POST + b"".join(b"x-%d: %b\r\n" % (n, b"y" * 690) for n in range(85)))
    return pairs


async def bodies(port: int, number: int) -> list[Pair]:
    """A head that promises a body, of which a byte comes a second."""
    pairs = await _open(port, number)
    for _, writer in pairs:
        writer.write(
            b"POST /v1/segment HTTP/1.1\r\nhost: api.localhost\r\ncontent-length: 9000\r\n\r\n{"
        )
    return pairs


async def garbage(port: int, number: int) -> list[Pair]:
    """Bytes of no protocol, on one connection after another, for as long as it lasts."""
    dice = random.Random(number)
    while True:
        for _, writer in await _open(port, 20):
            writer.write(dice.randbytes(200) + b"\r\n\r\n")
            writer.close()
        await asyncio.sleep(0.05)


ATTACKS: Final[dict[str, tuple[Callable[[int, int], Awaitable[list[Pair]]], bytes, str]]] = {
    "idle": (idle, b"", "connected, nothing said"),
    "kept": (kept, b"", "kept alive after a request"),
    "heads": (heads, b"x", "half a head, 1 byte/s"),
    "floods": (floods, b"", "60 KB of a head without end"),
    "bodies": (bodies, b" ", "a body of 1 byte/s"),
    "garbage": (garbage, b"", "200 bytes of nothing, 400 times a second"),
}


async def attack(name: str, port: int, number: int, seconds: float) -> dict[str, int]:
    """Run one attack for so long; what its connections were told in the end."""
    begin, byte, _ = ATTACKS[name]
    end_s = time.monotonic() + seconds
    pairs: list[Pair] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            pairs = await begin(port, number)
            # Whoever measures looks at memory from here on.
            sys.stdout.write("up\n")
            sys.stdout.flush()
            if byte:
                await _trickle(pairs, byte)
            await asyncio.sleep(end_s - time.monotonic())
    told = Counter([await _status(pair) for pair in pairs])
    for _, writer in pairs:
        writer.transport.abort()
    return dict(told)
