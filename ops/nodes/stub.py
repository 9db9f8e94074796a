"""A service on a machine of its own: says how many tokens the request told it to use.

    python -m ops.nodes.stub 10.77.41.2 9000

Body: `tokens` to report, `ms` to wait before the answer, `stream` true: pieces over two seconds. A
request without a body is the reader's: it costs 7.
"""

import asyncio
import json
import sys

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-usage-tokens: %d\r\n"
_PIECES, _PIECE_S = 8, 0.25
_OF_READER = 7


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = 0
            if b"content-length: " in head:
                length = int(head.split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
            asked = json.loads(await reader.readexactly(length)) if length else {}
            tokens = int(asked.get("tokens", _OF_READER))
            await asyncio.sleep(int(asked.get("ms", 0)) / 1_000)
            if asked.get("stream"):
                await _stream(writer, tokens)
                continue
            text = b'{"usage":{"total_tokens":%d}}' % tokens
            head = _HEAD % (b"application/json", tokens)
            writer.write(head + b"content-length: %d\r\n\r\n%b" % (len(text), text))
            await writer.drain()
    except (EOFError, ConnectionError):
        writer.close()


async def _stream(writer: asyncio.StreamWriter, tokens: int) -> None:
    writer.write(_HEAD % (b"text/plain", tokens) + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(_PIECES):
        await asyncio.sleep(_PIECE_S)
        writer.write(b"400\r\n" + b"x" * 1_024 + b"\r\n")
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def _main(host: str, port: int) -> None:
    server = await asyncio.start_server(_serve, host, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
