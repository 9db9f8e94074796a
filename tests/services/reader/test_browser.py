"""The browser engine where a Chromium is installed, and what is said where none is.

Every test runs on every machine: over the engines that are there, of which `none` always is.
"""

import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import orjson
import pytest

from services.reader.engines import NAMES
from tests.services.asking import Answer, Asker
from tests.services.canary import Canary
from tests.services.processes import children_of, free_port, service
from tests.services.reader.canal import Proxy
from tests.services.reader.lock import WORDS, lock
from tests.services.site import Site

CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None) if find_spec("playwright") else None
ENGINES = ["none", *([CHROMIUM] if CHROMIUM else [])]
JSON = {"Accept": "application/json"}
BROWSER = {"X-Engine": "browser"}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    site = lock()
    site.start()
    yield site
    site.stop()


@pytest.fixture(scope="module", params=ENGINES, ids=lambda path: path.rpartition("/")[2])
def engine(
    request: pytest.FixtureRequest,
    site: Site,
    proxy: Proxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Asker, bool]]:
    """A reader, and whether it has a browser."""
    listen = f"127.0.0.1:{free_port()}"
    settings = {
        "SLUICE_READER_ALLOW": f"{site.origin},http://127.0.0.1:{proxy.port}",
        "SLUICE_READER_WORKERS": "1",
        "SLUICE_READER_BROWSER": request.param,
        "SLUICE_READER_BROWSER_PAGES": "4",
        "SLUICE_READER_CACHE_BYTES": str(1024 * 1024),
        "SLUICE_DATA_DIR": str(tmp_path_factory.mktemp("browser")),
    }
    with service("reader", listen, settings):
        yield Asker(f"http://{listen}"), request.param != "none"


def is_said_to_be_missing(answer: Answer) -> bool:
    said = answer.json["message"]
    return answer.status == 400 and answer.void and "apt-get install chromium" in said


@pytest.mark.parametrize(
    "headers",
    [BROWSER, {"X-Respond-With": "screenshot"}, {"X-Respond-With": "pageshot"}],
)
async def test_without_a_browser_the_way_to_one_is_said(
    engine: tuple[Asker, bool], site: Site, headers: dict[str, str]
) -> None:
    reader, there = engine
    answer = await reader.get(f"/{site.origin}/written", headers)
    assert answer.status == 200 if there else is_said_to_be_missing(answer)


async def test_scripts_write_the_page_before_it_is_read(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    answer = await reader.get(f"/{site.origin}/shell", BROWSER)
    assert WORDS.strip() in answer.text if there else is_said_to_be_missing(answer)
    if there:
        assert "Words in the shadow" not in answer.text
        shadow = await reader.get(f"/{site.origin}/shell", {**BROWSER, "X-With-Shadow-Dom": "1"})
        assert "Words in the shadow" in shadow.text


async def test_auto_opens_an_empty_page_in_the_browser_if_there_is_one(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    answer = await reader.get(f"/{site.origin}/shell")
    assert (answer.status, WORDS.strip() in answer.text) == ((200, True) if there else (422, False))
    direct = await reader.get(f"/{site.origin}/shell", {"X-Engine": "direct"})
    assert direct.status == 422


async def test_frames_are_read_as_their_scripts_wrote_them(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    headers = {**BROWSER, "X-With-Iframe": "true", "X-Respond-With": "markdown"}
    answer = await reader.get(f"/{site.origin}/written", headers)
    assert "A frame, by script." in answer.text if there else is_said_to_be_missing(answer)


async def test_pictures_come_as_png_or_by_an_address_that_serves_them(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    fields = {"url": f"{site.origin}/written", "respondWith": "screenshot"}
    answer = await reader.post("/", fields)
    if not there:
        assert is_said_to_be_missing(answer)
        return
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.body.startswith(PNG)
    assert answer.tokens == 765
    both = {**fields, "respondWith": "markdown+pageshot"}
    data = (await reader.post("/", both, JSON)).json["data"]
    assert data["usage"]["tokens"] > 765
    path = data["pageshotUrl"].partition(":8080")[2]
    served = await reader.get(path)
    assert served.body.startswith(PNG)
    assert served.void


async def test_posted_pages_are_taken_by_either_engine(engine: tuple[Asker, bool]) -> None:
    reader, there = engine
    page = f"<title>Mine</title><p id=p>{WORDS}</p><script>p.prepend('Scripted. ')</script>"
    fields = {"html": page, "url": "http://canal.example/x", "engine": "browser"}
    answer = await reader.post("/", fields)
    assert answer.status == 200
    assert ("Scripted. " in answer.text) is there


async def test_client_waits_for_a_selector_and_runs_scripts(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    script = "addEventListener('load', () => { document.title = navigator.userAgent + innerWidth })"
    fields = {
        "url": f"{site.origin}/shell",
        "engine": "browser",
        "waitForSelector": "p.late",
        "injectPageScript": [script],
        "userAgent": "Mine/1 ",
        "viewport": {"width": 600, "height": 400},
        "setCookies": ["a=1"],
    }
    answer = await reader.post("/", fields)
    if not there:
        assert is_said_to_be_missing(answer)
        return
    assert "Title: Mine/1 600\n" in answer.text
    assert WORDS.strip() in answer.text
    assert answer.tokens >= 4000
    assert any(headers.get("Cookie") == "a=1" for _, headers in site.requests)


async def test_rendered_page_is_kept_for_who_asks_in_the_same_manner(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    path = f"/{site.origin}/shell?kept"
    counts = []
    for headers in ({}, {}, {"X-With-Shadow-Dom": "1"}, {"DNT": "1"}):
        answer = await reader.get(path, {**BROWSER, **headers})
        assert answer.status == 200 if there else is_said_to_be_missing(answer)
        counts.append(sum(asked == "/shell?kept" for asked, _ in site.requests))
    assert counts == ([1, 1, 2, 3] if there else [0] * 4)


async def test_stream_has_the_page_as_it_was_before_its_scripts_were_done(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    headers = {"Accept": "text/event-stream", "X-No-Cache": "1", **BROWSER}
    answer = await reader.get(f"/{site.origin}/growing", headers)
    if not there:
        assert answer.text.startswith("event: error\n")
        return
    frames = [orjson.loads(row[6:]) for row in answer.text.split("\n") if row.startswith("data: ")]
    assert [WORDS.strip() in frame["content"] for frame in frames] == [False, True]
    assert ["usage" in frame for frame in frames] == [False, True]
    assert answer.text.count("event: data\n") == 2


async def test_clients_own_proxy_is_the_way_of_the_browser_too(
    engine: tuple[Asker, bool], site: Site, proxy: Proxy
) -> None:
    reader, there = engine
    own = f"http://me:secret@127.0.0.1:{proxy.port}"
    fields = {"url": f"{site.origin}/written", "engine": "browser", "proxyUrl": own}
    before = len(proxy.asked)
    answer = await reader.post("/", fields)
    if not there:
        assert is_said_to_be_missing(answer)
        return
    assert "By way of the proxy." in answer.text
    asked = proxy.asked[before]
    assert asked.startswith(f"GET {site.origin}/written HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in asked
    private = await reader.post("/", {**fields, "proxyUrl": "http://10.0.0.1:3128"})
    assert private.status == 451


async def test_own_headers_are_not_for_every_host_of_a_page(
    engine: tuple[Asker, bool], site: Site
) -> None:
    reader, there = engine
    own = {"customHeader": {"Authorization": "Bearer x"}}
    answer = await reader.post("/", {"url": f"{site.origin}/written", "engine": "browser", **own})
    assert answer.status == 400
    assert "own headers" in answer.json["message"] if there else is_said_to_be_missing(answer)
    referred = {
        "url": f"{site.origin}/written",
        "engine": "browser",
        "referer": "http://a.example/",
    }
    answer = await reader.post("/", referred)
    assert answer.status == 200 if there else is_said_to_be_missing(answer)
    if there:
        sent = [headers for path, headers in site.requests if path == "/written"]
        assert sent[-1]["Referer"] == "http://a.example/"


@pytest.mark.parametrize("path", ["busy", "hoard"])
async def test_page_that_never_ends_costs_only_its_time(
    engine: tuple[Asker, bool], site: Site, path: str
) -> None:
    reader, there = engine
    begun_s = time.monotonic()
    answer = await reader.get(f"/{site.origin}/{path}", {**BROWSER, "X-Timeout": "2"})
    assert answer.status in (200, 422) if there else is_said_to_be_missing(answer)
    assert time.monotonic() - begun_s < 30
    after = await reader.get(f"/{site.origin}/written", BROWSER if there else {})
    assert after.status == 200


async def test_no_way_out_of_a_page_reaches_a_private_address(
    engine: tuple[Asker, bool], site: Site, canary: Canary
) -> None:
    reader, there = engine
    url = f"{site.origin}/escape?out=127.0.0.1:{canary.port}"
    headers = {"X-Respond-Timing": "network-idle", "X-Timeout": "4", "X-With-Iframe": "true"}
    answer = await reader.get(f"/{url}", {**headers, **(BROWSER if there else {})})
    assert answer.status == 200
    assert WORDS.strip() in answer.text
    assert canary.connections == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_redirects_of_the_browser_are_judged(
    engine: tuple[Asker, bool], site: Site, canary: Canary, scheme: str
) -> None:
    reader, there = engine
    to = f"{scheme}://127.0.0.1:{canary.port}/"
    headers = BROWSER if there else {}
    answer = await reader.get(f"/{site.origin}/onward?to={to}", headers)
    assert answer.status == 451
    assert answer.void
    assert canary.connections == 0


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/", "http://localhost/", "http://169.254.169.254/"]
)
async def test_private_targets_are_451_for_the_browser_too(
    engine: tuple[Asker, bool], url: str
) -> None:
    reader, there = engine
    answer = await reader.get(f"/{url}", BROWSER if there else {})
    assert answer.status == 451
    assert answer.json["status"] == 45102


@pytest.mark.parametrize("program", ENGINES)
async def test_reader_that_is_killed_leaves_no_browser(site: Site, program: str) -> None:
    listen = f"127.0.0.1:{free_port()}"
    settings = {"SLUICE_READER_ALLOW": site.origin, "SLUICE_READER_BROWSER": program}
    with service("reader", listen, settings) as process:
        answer = await Asker(f"http://{listen}").get(f"/{site.origin}/shell")
        assert answer.status == (422 if program == "none" else 200)
        family = descendants(process.pid)
        process.kill()
        process.wait()
        end_s = time.monotonic() + 60
        while alive(family) and time.monotonic() < end_s:
            time.sleep(0.05)
        assert alive(family) == set()


def descendants(pid: int) -> set[int]:
    found = set(children_of(pid))
    for child in list(found):
        found |= descendants(child)
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run; what is dead and waits to be buried does not."""
    found = set()
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state not in ("Z", "X"):
            found.add(pid)
    return found
