"""The yardstick: an empty reverse proxy as anyone would write it with aiohttp.

aiohttp server, one shared ClientSession, streaming, no features, the same event loop as ours.
A body keeps the framing that it came with: a length where there was one, else chunks.
"""

import sys

import aiohttp
import uvloop
from aiohttp import web

_NOT_ASKED = frozenset(("connection", "transfer-encoding", "host"))
_SKIPPED = frozenset(("connection", "transfer-encoding", "content-length", "host"))


async def application(target: str) -> web.Application:
    """Pass everything on to the target."""
    app = web.Application(client_max_size=1 << 30)
    app["session"] = aiohttp.ClientSession(
        auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)
    )

    async def proxy(request: web.Request) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _NOT_ASKED}
        async with request.app["session"].request(
            request.method,
            target + request.raw_path,
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _SKIPPED}
            response = web.StreamResponse(status=answer.status, headers=kept)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    async def close(app: web.Application) -> None:
        await app["session"].close()

    app.on_cleanup.append(close)
    app.router.add_route("*", "/{tail:.*}", proxy)
    return app


def main() -> None:
    """`baseline_proxy.py PORT TARGET`."""
    port, target = int(sys.argv[1]), sys.argv[2]
    web.run_app(
        application(target),
        host="127.0.0.1",
        port=port,
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
