"""A web site on loopback with everything that pages do to a reader, kind and unkind."""

import asyncio
import gzip
import threading
import zlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from tests.services import images

PAGES = Path(__file__).parent / "pages"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BOMB_BYTES = 200 * 1024 * 1024


class Site:
    """The site, in a thread with a loop of its own, so that it outlives the loops of tests."""

    def __init__(self, routes: Mapping[str, Handler] | None = None) -> None:
        self._routes = ROUTES if routes is None else routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._runner, self.port = asyncio.run_coroutine_threadsafe(
            self._start(), self._loop
        ).result(60)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(60)
        asyncio.run_coroutine_threadsafe(end_the_rest(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _start(self) -> tuple[web.AppRunner, int]:
        app = web.Application(middlewares=[self._remember])
        for path, handler in self._routes.items():
            app.router.add_route("*", path, handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, runner.addresses[0][1]

    @web.middleware
    async def _remember(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.raw_path, dict(request.headers)))
        return await handler(request)


async def end_the_rest() -> None:
    """Handlers that were still writing to readers that have long gone."""
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


def html(body: str, **headers: str) -> web.Response:
    return web.Response(text=body, content_type="text/html", headers=headers)


async def page(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    return html((PAGES / f"{name}.html").read_text(encoding="utf-8"))


async def plain(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="# Not a heading\r\njust *text*\n", content_type="text/plain")


async def json_target(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"answer": 42, "é": "ü"})


async def missing(_request: web.Request) -> web.StreamResponse:
    page = html("<title>Gone</title><p>There is nothing at this address, sorry.</p>")
    page.set_status(404)
    return page


async def missing_empty(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=404)


async def empty(_request: web.Request) -> web.StreamResponse:
    return html("")


async def blank(_request: web.Request) -> web.StreamResponse:
    return html("<html><head><title>Blank</title></head><body>  <div></div></body></html>")


async def redirect(request: web.Request) -> web.StreamResponse:
    status = int(request.query.get("status", "302"))
    return web.Response(status=status, headers={"Location": request.query["to"]})


async def loop(request: web.Request) -> web.StreamResponse:
    count = int(request.match_info["count"])
    if not count:
        return html("<title>End</title><p>The end of the chain of redirects.</p>")
    return web.Response(status=307, headers={"Location": f"/loop/{count - 1}"})


async def charset(request: web.Request) -> web.StreamResponse:
    """A page in the encoding `real`, declared in the header, in the page, or nowhere."""
    real = request.query["real"]
    header, meta = request.query.get("header"), request.query.get("meta")
    declared = f'<meta charset="{meta}">' if meta else ""
    text = request.query["text"]
    body = f"<html><head>{declared}<title>{text}</title></head><body><p>{text * 20}</p></body>"
    kind = "text/html" + (f"; charset={header}" if header else "")
    return web.Response(body=body.encode(real), headers={"Content-Type": kind})


async def encoded(request: web.Request) -> web.StreamResponse:
    """The same page in each content encoding, right and wrong."""
    form = request.match_info["form"]
    body = b"<title>Packed</title><p>" + b"packed text " * 500 + b"</p>"
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = {
        "gzip": gzip.compress(body),
        "deflate": zlib.compress(body),
        "deflate-raw": raw.compress(body) + raw.flush(),
        "gzip-cut": gzip.compress(body)[:-40],
        "gzip-lie": body,
        "br": body,
        "identity": body,
    }[form]
    name = form.partition("-")[0]
    return web.Response(
        body=packed, headers={"Content-Type": "text/html", "Content-Encoding": name}
    )


async def bomb(_request: web.Request) -> web.StreamResponse:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = b"<p>boom</p>" * 100_000
    packed = b"".join(packer.compress(block) for _ in range(BOMB_BYTES // len(block)))
    return web.Response(
        body=packed + packer.flush(),
        headers={"Content-Type": "text/html", "Content-Encoding": "gzip"},
    )


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/html"})
    await response.prepare(request)
    while True:
        await response.write(b"<p>more and more</p>" * 4000)


async def drip(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/html"})
    await response.prepare(request)
    while True:
        await response.write(b"<p>")
        await asyncio.sleep(0.2)


async def silent(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def slow(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(1)
    return html("<title>Slow</title><p>It took a second.</p>")


async def short(request: web.Request) -> web.StreamResponse:
    """Says that it is longer than it is."""
    response = web.StreamResponse(headers={"Content-Type": "text/html", "Content-Length": "9999"})
    await response.prepare(request)
    await response.write(b"<title>Short</title><p>not all of it</p>")
    assert request.transport is not None
    request.transport.close()
    return response


async def media(request: web.Request) -> web.StreamResponse:
    kind = request.query.get("type", "image/png")
    return web.Response(body=b"\x89PNG\r\n\x1a\n\0\0\0", headers={"Content-Type": kind})


async def nested(request: web.Request) -> web.StreamResponse:
    depth = int(request.match_info["depth"])
    return html("<title>Deep</title>" + "<div>" * depth + "bottom" + "</div>" * depth)


async def words(request: web.Request) -> web.StreamResponse:
    """As many words as asked for, in paragraphs."""
    count = int(request.match_info["count"])
    sentence = "one two three four five six seven eight {}. "
    paragraphs = [
        "<p>" + "".join(sentence.format(f"{row}-{column}") for column in range(10)) + "</p>"
        for row in range(count // 100)
    ]
    return html(f"<title>Words</title><article>{''.join(paragraphs)}</article>")


async def cookie(_request: web.Request) -> web.StreamResponse:
    return html("<title>Cookie</title><p>A page that sets a cookie.</p>", **{"Set-Cookie": "a=b"})


async def picture(_: web.Request) -> web.Response:
    return web.Response(body=images.solid("red"), content_type="image/png")


ROUTES = {
    "/picture.png": picture,
    "/page/{name}": page,
    "/plain.txt": plain,
    "/data.json": json_target,
    "/missing": missing,
    "/missing-empty": missing_empty,
    "/empty": empty,
    "/blank": blank,
    "/redirect": redirect,
    "/loop/{count}": loop,
    "/charset": charset,
    "/encoded/{form}": encoded,
    "/bomb": bomb,
    "/endless": endless,
    "/drip": drip,
    "/silent": silent,
    "/slow": slow,
    "/short": short,
    "/media": media,
    "/nested/{depth}": nested,
    "/words/{count}": words,
    "/cookie": cookie,
}
