"""Pages that are kept: for whom, for how long, and what never is."""

import asyncio
import itertools
import os
import time
from pathlib import Path

import pytest

from services.reader import target
from services.reader.cache import Cache
from services.reader.fetch import Fetched
from services.reader.target import Target
from tests.services.asking import Asker
from tests.services.site import Site

NUMBERS = itertools.count()
CACHED = "Warning: This is a cached snapshot of the original page"


def fresh_path(site: Site, query: str = "") -> str:
    return f"/{site.origin}/counted?n={next(NUMBERS)}{query}"


async def test_page_is_fetched_once_and_said_to_be_cached(boat: Asker, canal_site: Site) -> None:
    path = fresh_path(canal_site)
    first, second = await boat.get(path), await boat.get(path)
    assert "Asked 1 times." in first.text
    assert CACHED not in first.text
    assert "Asked 1 times." in second.text
    assert CACHED in second.text
    assert first.tokens == second.tokens


@pytest.mark.parametrize(
    "header",
    [
        {"X-No-Cache": "true"},
        {"X-No-Cache": "false"},
        {"X-Cache-Tolerance": "0"},
        {"DNT": "1"},
        {"X-Set-Cookie": "a=b"},
        {"X-Locale": "de-DE"},
    ],
)
async def test_opting_out_fetches_anew(
    boat: Asker, canal_site: Site, header: dict[str, str]
) -> None:
    path = fresh_path(canal_site)
    assert "Asked 1 times." in (await boat.get(path)).text
    assert "Asked 2 times." in (await boat.get(path, header)).text


async def test_no_cache_renews_what_is_kept(boat: Asker, canal_site: Site) -> None:
    path = fresh_path(canal_site)
    await boat.get(path)
    await boat.get(path, {"X-No-Cache": "true"})
    assert "Asked 2 times." in (await boat.get(path)).text


@pytest.mark.parametrize("header", [{"DNT": "1"}, {"X-Set-Cookie": "a=b"}])
async def test_private_pages_are_not_kept(
    boat: Asker, canal_site: Site, header: dict[str, str]
) -> None:
    path = fresh_path(canal_site)
    await boat.get(path, header)
    assert "Asked 2 times." in (await boat.get(path)).text


@pytest.mark.parametrize(
    "said",
    ["&Cache-Control=private", "&Cache-Control=no-store", "&Set-Cookie=a=b", "&status=404"],
)
async def test_what_its_site_does_not_want_kept_is_not(
    boat: Asker, canal_site: Site, said: str
) -> None:
    path = fresh_path(canal_site, said)
    await boat.get(path)
    assert "Asked 2 times." in (await boat.get(path)).text


async def test_own_headers_and_credentials_are_not_kept(boat: Asker, canal_site: Site) -> None:
    url = fresh_path(canal_site).removeprefix("/")
    await boat.post("/", {"url": url, "customHeader": {"Authorization": "Bearer x"}})
    await boat.post("/", {"url": url.replace("://", "://me:word@")})
    assert "Asked 3 times." in (await boat.post("/", {"url": url})).text


def page(text: bytes, path: str = "/") -> Fetched:
    here = target.parse("http://canal.example" + path)
    assert isinstance(here, Target)
    return Fetched(here, 200, "OK", "text/html", None, text, public=True)


async def test_oldest_use_goes_first_and_the_cap_holds(tmp_path: Path) -> None:
    kept = Cache(tmp_path / "pages", 100_000)
    kept.open()
    for number in range(40):
        await kept.keep(f"{number}.page", page(os.urandom(8_000)))
        assert await kept.load("0.page", None) is not None
    on_disk = sum(file.stat().st_size for file in (tmp_path / "pages").iterdir())
    assert 50_000 < on_disk <= 100_000
    assert await kept.load("1.page", None) is None
    assert await kept.load("39.page", None) is not None


async def test_pages_outlive_the_process_and_half_written_ones_do_not(tmp_path: Path) -> None:
    first = Cache(tmp_path, 100_000)
    first.open()
    await first.keep("a.page", page(b"<p>kept</p>", "/a?b"))
    (tmp_path / "b.page.123.456").write_bytes(b"half")
    second = Cache(tmp_path, 100_000)
    second.open()
    found = await second.load("a.page", None)
    assert found is not None
    assert (found.body, found.target.url) == (b"<p>kept</p>", "http://canal.example/a?b")
    assert [file.name for file in tmp_path.iterdir()] == ["a.page"]


@pytest.mark.parametrize("harm", ["cut", "flip", "empty", "gone", "head"])
async def test_broken_entries_are_as_good_as_none(tmp_path: Path, harm: str) -> None:
    kept = Cache(tmp_path, 100_000)
    kept.open()
    await kept.keep("a.page", page(b"<p>kept</p>" * 100))
    file = tmp_path / "a.page"
    raw = file.read_bytes()
    broken = {
        "cut": raw[:-10],
        "flip": raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:],
        "empty": b"",
        "gone": b"",
        "head": b"{}" + raw,
    }[harm]
    file.write_bytes(broken)
    if harm == "gone":
        file.unlink()
    assert await kept.load("a.page", None) is None
    await kept.keep("a.page", page(b"<p>new</p>"))
    assert await kept.load("a.page", None) is not None


async def test_tolerance_is_the_age_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Cache(tmp_path, 100_000)
    kept.open()
    await kept.keep("a.page", page(b"<p>kept</p>"))
    now_s = time.time()
    for age_s, tolerance_s, found in (
        (3500, None, True),
        (3700, None, False),
        (3700, 4000, True),
        (10, 5, False),
        (10, 0, False),
        (8 * 24 * 3600, 10**9, False),
    ):
        monkeypatch.setattr(time, "time", lambda age_s=age_s: now_s + age_s)
        assert (await kept.load("a.page", tolerance_s) is not None) is found, age_s


async def test_folder_that_cannot_be_written_fails_no_request(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    kept = Cache(blocked / "pages", 100_000)
    await asyncio.to_thread(kept.open)
    await kept.keep("a.page", page(b"<p>kept</p>"))
    assert await kept.load("a.page", None) is None
