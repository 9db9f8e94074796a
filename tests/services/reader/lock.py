"""A site whose pages are written by their scripts, and scripts that try to get out."""

from aiohttp import web

from tests.services.site import Site, html

WORDS = "Loaded words of the lock. " * 20


async def shell(_request: web.Request) -> web.StreamResponse:
    """Empty until its script has fetched its words; part of them in a shadow tree."""
    return html(
        "<title>Shell</title><div id=app></div><script>setTimeout(async () => {"
        "const words = await (await fetch('/words')).text();"
        "app.innerHTML = '<p class=late>' + words + '</p><div id=host></div>';"
        "host.attachShadow({mode: 'open'}).innerHTML = '<p>Words in the shadow.</p>';"
        "}, 150)</script>"
    )


async def growing(_request: web.Request) -> web.StreamResponse:
    """One line at once, and the words by a script after a while."""
    return html(
        "<title>Growing</title><p>At once.</p><div id=app></div><script>setTimeout(async () => {"
        "app.innerHTML = '<p>' + await (await fetch('/words')).text() + '</p>'}, 400)</script>"
    )


async def words(_request: web.Request) -> web.StreamResponse:
    return web.Response(text=WORDS)


async def written(_request: web.Request) -> web.StreamResponse:
    return html(f"<title>Written</title><p>{WORDS}</p><iframe src='/frame'></iframe>")


async def frame(_request: web.Request) -> web.StreamResponse:
    return html("<script>document.write('<p>A frame, by script.</p>')</script>")


async def busy(_request: web.Request) -> web.StreamResponse:
    return html("<title>Busy</title><p>before</p><script>for(;;){}</script>")


async def hoard(_request: web.Request) -> web.StreamResponse:
    return html("<p>x</p><script>let a=[];for(;;)a.push(new Array(1e6).fill(a.length))</script>")


async def onward(request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": request.query["to"]})


async def escape(request: web.Request) -> web.StreamResponse:
    """Every way out of a page that a script knows, all of them to one private address."""
    out = request.query["out"]
    other = out.replace("127.0.0.1", "localhost")
    return html(
        f"<title>Escape</title><p>{WORDS}</p>"
        f"<link rel=dns-prefetch href='//{out}'><link rel=preconnect href='http://{out}'>"
        f"<link rel=prefetch href='http://{out}/p'><link rel=stylesheet href='http://{out}/c'>"
        f"<img src='http://{other}/i'><iframe src='http://{out}/f'></iframe>"
        f"<iframe src='/onward?to=http://{out}/'></iframe><object data='http://{out}/o'></object>"
        f"<video src='http://{out}/v'></video><script src='http://{out}/s'></script>"
        f"<a href='http://{out}/a' ping='http://{out}/ping' id=a>x</a>"
        "<script>"
        f"const out = '{out}', quiet = () => 0;"
        "fetch('http://' + out).catch(quiet); fetch('https://' + out).catch(quiet);"
        "new WebSocket('ws://' + out); new EventSource('http://' + out + '/e');"
        "navigator.sendBeacon('http://' + out + '/b', 'x');"
        "const code = `fetch('http://${out}/w').catch(() => 0)`;"
        "new Worker(URL.createObjectURL(new Blob([code])));"
        "const peer = new RTCPeerConnection({iceServers: [{urls: 'stun:' + out}]});"
        "peer.createDataChannel('x'); peer.createOffer().then(o => peer.setLocalDescription(o));"
        "navigator.serviceWorker && navigator.serviceWorker.register('/sw.js').catch(quiet);"
        "window.open('http://' + out + '/popup');"
        "</script>"
    )


def lock() -> Site:
    return Site(
        {
            "/shell": shell,
            "/words": words,
            "/growing": growing,
            "/written": written,
            "/frame": frame,
            "/busy": busy,
            "/hoard": hoard,
            "/onward": onward,
            "/escape": escape,
        }
    )
