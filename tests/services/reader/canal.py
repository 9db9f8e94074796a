"""A site on loopback for options that concern the fetch: cookies, robots, frames, a proxy."""

import asyncio
import contextlib
import io
import socket
import threading

from aiohttp import web
from PIL import Image

from tests.services.site import Site, html

WORDS = "The lower gates are opened and the boat goes in, after which they are closed again. " * 8
ROBOTS = """# rules
User-agent: *
Disallow: /private
Allow: /private/open
Disallow: /*.cgi$

User-agent: GoodBot
User-agent: OtherBot
Disallow:
"""


async def echo(request: web.Request) -> web.StreamResponse:
    """A page that says which headers it was asked with."""
    rows = "".join(f"<li>{name}: {value}</li>" for name, value in request.headers.items())
    return html(f"<title>Echo</title><p>{WORDS}</p><ul>{rows}</ul>")


class Counter:
    """Pages that say how often they were asked for, with the headers of their query."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        count = self._seen.get(request.path_qs, 0) + 1
        self._seen[request.path_qs] = count
        response = html(f"<title>Count</title><p>Asked {count} times.</p>")
        for name in ("Cache-Control", "Set-Cookie"):
            if name in request.query:
                response.headers[name] = request.query[name]
        response.set_status(int(request.query.get("status", "200")))
        return response


async def robots(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=ROBOTS)


async def onward(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def framed(request: web.Request) -> web.StreamResponse:
    return html(
        "<title>Framed</title><p>Around the frames.</p><iframe src='/frame'></iframe>"
        "<iframe srcdoc='&lt;p&gt;Written within.&lt;/p&gt;'></iframe>"
        f"<iframe src='{request.query.get('other', '/gone')}'></iframe><p>After them.</p>"
    )


async def frame(_request: web.Request) -> web.StreamResponse:
    return html("<title>Frame</title><p>Inside, <a href='here'>a link</a>.</p>")


async def picture(_request: web.Request) -> web.StreamResponse:
    body = io.BytesIO()
    Image.new("RGB", (8, 8)).save(body, "PNG")
    return web.Response(body=body.getvalue(), content_type="image/png")


async def pictured(_request: web.Request) -> web.StreamResponse:
    return html(
        f"<title>Pictures</title><p>{WORDS}</p><p><img src='/picture.png'>"
        f"<img src='/picture.png?2' alt='Named'><img src='http://10.0.0.1/x.png'></p><p>{WORDS}</p>"
    )


ROUTES = {
    "/echo": echo,
    "/private/{tail:.*}": echo,
    "/run.cgi": echo,
    "/robots.txt": robots,
    "/onward": onward,
    "/framed": framed,
    "/frame": frame,
    "/picture.png": picture,
    "/pictured": pictured,
}


def canal() -> Site:
    return Site({**ROUTES, "/counted": Counter().handle})


class Proxy:
    """A forward proxy for plain requests and tunnels; it remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        async def serve() -> None:
            server = await asyncio.start_server(self._handle, sock=self._listener)
            self._stop = asyncio.Event()
            await self._stop.wait()
            server.close()

        self._loop.run_until_complete(serve())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        self._loop.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.decode("latin-1"))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
                b"<title>Proxied</title><p>By way of the proxy.</p>"
            )
            await writer.drain()
        writer.close()
