"""Raw bytes against one gateway process, beside a strict reader of our own.

`python -m ops.bench.fuzz [seconds] [seed]`. Good requests are pipelined, cut up, mended wrongly and
sent in pieces. Whatever reaches the service must be what `strict` reads from the same bytes, in
that order: a request that only the gateway sees is one that could be smuggled past somebody. Every
answer must be HTTP and none 500, and the gateway must be alive. Ends at the first finding, with its
seed; then `python -m ops.bench.fuzz 1 SEED` repeats it.
"""

import asyncio
import random
import re
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Final

from ops.bench.stack import different_ports, process, rich_key, stack

_LINE: Final = re.compile(rb"[A-Za-z]+ +[^ \x00-\x20]+ +HTTP/1\.([01])")
_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]+)(;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_PIECES: Final = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"\n\n", b"\r\n ", b"\x0b"),
    *(b"0\r\n\r\n", b"0", b"1", b"2\r\n{}\r\n", b"+", b"-", b"0x", b";", b",", b"ffffffffffffffff"),
    *(b"content-length: 5\r\n", b"Content-Length: 0\r\n", b"content-length:5, 5\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"Transfer-Encoding:chunked\r\n", b"transfer-encoding:"),
    *(b"transfer-encoding: gzip\r\n", b"transfer-encoding : chunked\r\n", b"te: trailers\r\n"),
    *(b"connection: close\r\n", b"connection: content-length\r\n", b"expect: 100-continue\r\n"),
    *(
        b"upgrade: h2c\r\n",
        b"host: other\r\n",
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"GET ",
        b"POST ",
        b"\xff",
    ),
)
_ANSWER: Final = b"HTTP/1.1 200 OK\r\nx-usage-tokens: 1\r\ncontent-length: 2\r\n\r\n{}"


@dataclass
class Service:
    """Records the bodies that reach it."""

    bodies: list[bytes] = field(default_factory=list)
    odd: list[bytes] = field(default_factory=list)
    # Of the connections before, which may come late on a machine under load.
    late: deque[bytes] = field(default_factory=lambda: deque(maxlen=100))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the gateway."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.bodies.append(await self._body(head, reader))
                writer.write(_ANSWER)
        writer.close()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> bytes:
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:-2]]
        framing = [name for name in names if name in (b"content-length", b"transfer-encoding")]
        hop = {b"connection", b"te", b"upgrade", b"trailer", b"expect", b"keep-alive"} & set(names)
        if (
            len(framing) != 1
            or hop
            or names.count(b"host") != 1
            or head.count(b"\n") != (head.count(b"\r\n"))
        ):
            self.odd.append(head)
        if framing == [b"content-length"]:
            size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            return await reader.readexactly(size)
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
        return body


def strict(data: bytes) -> Iterator[bytes]:
    """The bodies of the requests in these bytes, until the first that is not beyond doubt."""
    while True:
        data = data.lstrip(b"\r\n")
        head, end, data = data.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        line = _LINE.fullmatch(lines[0])
        fields = [_FIELD.fullmatch(each) for each in lines[1:]]
        if not end or line is None or None in fields:
            return
        found = [(each[1].lower(), each[2].strip(b" \t")) for each in fields if each is not None]
        codings = [value for name, value in found if name == b"transfer-encoding"]
        lengths = [value for name, value in found if name == b"content-length"]
        if len(codings) + len(lengths) > 1 or [n for n, _ in found].count(b"host") > 1:
            return
        if codings:
            if codings[0].lower() != b"chunked" or line[1] == b"0":
                return
            body, data, whole = _chunks(data)
        else:
            if lengths and not lengths[0].isdigit():
                return
            size = int(lengths[0]) if lengths else 0
            body, data, whole = data[:size], data[size:], len(data) >= size
        if not whole:
            return
        yield body
        tokens = b",".join(value for name, value in found if name == b"connection").lower()
        if b"close" in tokens or b"upgrade" in tokens or line[1] == b"0":
            return


def _chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    body = b""
    while True:
        line, end, data = data.partition(b"\r\n")
        size = _CHUNK.fullmatch(line)
        if not end or size is None:
            return b"", b"", False
        if not (length := int(size[1], 16)):
            break
        if data[length : length + 2] != b"\r\n":
            return b"", b"", False
        body, data = body + data[:length], data[length + 2 :]
    while not data.startswith(b"\r\n"):
        line, end, data = data.partition(b"\r\n")
        if not end or _FIELD.fullmatch(line) is None:
            return b"", b"", False
    return body, data[2:], True


def requests(dice: random.Random, key: str) -> bytes:
    """One to four requests behind each other, spoilt in up to four places."""
    text = b""
    for number in range(dice.randint(1, 4)):
        body = b'{"input": "%d-%d"}' % (number, dice.randrange(10**6))
        head = b"POST /v1/embeddings HTTP/1.1\r\nhost: api.localhost\r\n"
        head += f"authorization: Bearer {key}\r\n".encode()
        if dice.random() < 0.5:
            text += head + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        else:
            at = dice.randint(1, len(body) - 1)
            parts = (body[:at], body[at:])
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
            text += head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    for _ in range(dice.choice((0, 1, 1, 1, 2, 2, 3, 4))):
        at = dice.randint(0, len(text))
        if dice.random() < 0.5 and (ends := [m.end() for m in re.finditer(rb"\r\n|: ", text)]):
            at = dice.choice(ends)
        cut = dice.choice((0, 0, 0, 1, 2, dice.randint(0, 60)))
        piece = dice.choice(_PIECES) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 4))
        text = text[:at] + piece * dice.choice((1, 1, 1, 2)) + text[at + cut :]
    return text


async def one(port: int, seed: int, key: str, service: Service) -> str:
    """Send what the seed says; what is wrong with it, or nothing."""
    dice = random.Random(seed)
    text = requests(dice, key)
    service.bodies.clear()
    service.odd.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = b""
    try:
        for piece in _cut(dice, text):
            writer.write(piece)
            await asyncio.sleep(0)
        with suppress(TimeoutError, OSError):
            while more := await asyncio.wait_for(reader.read(65_536), 0.06):
                answers += more
    finally:
        writer.transport.abort()
    statuses = re.findall(rb"HTTP/1\.1 (\d\d\d) ", answers)
    allowed = list(strict(text))
    left = iter(allowed)
    if service.odd:
        return f"the service got {service.odd[0]!r}"
    came = [body for body in service.bodies if body in allowed or body not in service.late]
    service.late.extend(allowed)
    if not all(body in left for body in came):
        return f"the service got {service.bodies!r}, which a strict reader does not read: {allowed}"
    if statuses.count(b"200") > len(service.bodies):
        return f"{statuses} for {len(service.bodies)} requests that reached the service"
    if b"500" in statuses or (answers and not answers.startswith(b"HTTP/1.1 ")):
        return f"answered {answers[:300]!r}"
    return ""


def _cut(dice: random.Random, text: bytes) -> Iterator[bytes]:
    marks = sorted(dice.randint(0, len(text)) for _ in range(dice.choice((0, 0, 1, 3, 10))))
    for start, end in zip([0, *marks], [*marks, len(text)], strict=True):
        yield text[start:end]


async def main(seconds: float, seed: int, *, once: bool) -> int:
    """Until the time is over or something is found."""
    async with AsyncExitStack() as running:
        base = await running.enter_async_context(stack())
        stub, door = running.enter_context(different_ports(2))
        service = Service()
        server = await asyncio.start_server(service.serve, "127.0.0.1", stub)
        running.callback(server.close)
        settings = base.settings(port=door, service_embeddings_url=f"http://127.0.0.1:{stub}")
        words = ("-m", "gateway", "serve", "--child", "0")
        await running.enter_async_context(process(*words, environment=settings, port=door))
        key = await rich_key(base, door)
        end_s, number, reached = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end_s and not (once and number):
            wrong = await one(door, seed + number, key, service)
            reached += len(service.bodies)
            if wrong:
                text = requests(random.Random(seed + number), key).replace(key.encode(), b"KEY")
                sys.stdout.write(f"seed {seed + number}: {wrong}\n{text!r}\n")
                return 1
            number += 1
        sys.stdout.write(f"{number} connections from seed {seed}, {reached} requests, nothing\n")
    return 0


if __name__ == "__main__":
    asked_s = float(sys.argv[1]) if len(sys.argv) > 1 else 120
    first = int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time()) * 1_000
    sys.exit(asyncio.run(main(asked_s, first, once=len(sys.argv) > 2)))
