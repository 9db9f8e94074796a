"""The SSRF guard: nothing that is written, redirected or resolved reaches a private address."""

import asyncio
import ssl
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address
from urllib.parse import quote

import aiohttp
import pytest

from services.reader import target
from services.reader.addresses import refused
from services.reader.fetch import Ask, Fetched, Fetcher
from services.reader.guard import AddressRefusedError, Guard, Pinned, connector
from services.reader.refusals import Refusal
from services.reader.target import Target
from services.settings import Origin
from tests.services import ssrf
from tests.services.asking import Answer, Asker
from tests.services.canary import Canary
from tests.services.site import Site

ASK = Ask(headers={}, deadline_ms=3000, page_bytes=100_000)


def test_the_table_is_long_enough() -> None:
    assert len(set(ssrf.urls(1))) >= 540


async def test_no_spelling_of_a_private_target_reaches_it(reader: Asker, canary: Canary) -> None:
    hostile = list(ssrf.urls(canary.port))
    in_body = [{"url": url, "timeout": 5} for url in hostile]
    answers = await _all([reader.post("/", body) for body in in_body])
    got_through = [
        (url, answer.status)
        for url, answer in zip(hostile, answers, strict=True)
        if answer.status not in (400, 451) or not answer.void
    ]
    assert got_through == []
    assert canary.connections == 0


async def test_no_spelling_in_the_path_reaches_it(reader: Asker, canary: Canary) -> None:
    hostile = list(ssrf.urls(canary.port))
    bare = [url for url in hostile if url.isascii() and not {" ", "#"} & set(url)]
    paths = [f"/{quote(url, safe='')}" for url in hostile] + [f"/{url}" for url in bare]
    answers = await _all([reader.get(path, {"X-Timeout": "5"}) for path in paths])
    assert [
        (path, answer.status)
        for path, answer in zip(paths, answers, strict=True)
        if answer.status not in (400, 451)
    ] == []
    assert canary.connections == 0


async def test_loopback_is_451_in_the_envelope_of_the_contract(
    reader: Asker, canary: Canary
) -> None:
    answer = await reader.get(f"/http://127.0.0.1:{canary.port}/")
    assert answer.status == 451
    message = "Suspicious action: Request to localhost or non-public IP: 127.0.0.1"
    assert answer.json == {
        "data": None,
        "code": 451,
        "name": "SecurityCompromiseError",
        "status": 45102,
        "message": message,
        "readableMessage": f"SecurityCompromiseError: {message}",
    }


async def test_own_doors_are_a_circle(reader: Asker) -> None:
    for url in ("http://r.localhost/", "https://api.localhost/v1/keys", "http://localhost:8080/"):
        answer = await reader.get(f"/{url}")
        assert answer.status == 451
        assert answer.json["message"].startswith("Circular hostname: ")


async def test_redirects_to_private_targets_are_refused(
    reader: Asker, site: Site, canary: Canary
) -> None:
    targets = [
        f"http://127.0.0.1:{canary.port}/",
        f"//127.0.0.1:{canary.port}/",
        f"http://2130706433:{canary.port}/",
        f"http://localhost:{canary.port}/",
        f"http://[::1]:{canary.port}/",
        f"http://[::ffff:7f00:1]:{canary.port}/",
        f"\\\\127.0.0.1:{canary.port}\\",
        f"http:\\\\127.0.0.1:{canary.port}",
        f"https://127.0.0.1:{canary.port}/",
        "http://169.254.169.254/latest/meta-data/",
        f"http://{site.port}@127.0.0.1:{canary.port}/",
    ]
    for status in (301, 302, 303, 307, 308):
        answers = await _all(
            [
                reader.get(f"/{site.origin}/redirect?status={status}&to={quote(url, safe='')}")
                for url in targets
            ]
        )
        assert {answer.status for answer in answers} == {451}
        assert all(answer.void for answer in answers)
    assert canary.connections == 0


@pytest.mark.parametrize("to", ["file:///etc/passwd", "javascript:alert(1)", "ftp://a.example/"])
async def test_redirects_to_other_protocols_are_refused(reader: Asker, site: Site, to: str) -> None:
    answer = await reader.get(f"/{site.origin}/redirect?to={quote(to, safe='')}")
    assert answer.status == 400
    assert answer.void


async def test_allowed_origin_is_scheme_host_and_port(reader: Asker, site: Site) -> None:
    assert (await reader.get(f"/{site.origin}/page/links")).status == 200
    assert (await reader.get(f"/https://127.0.0.1:{site.port}/page/links")).status == 451
    assert (await reader.get(f"/http://127.0.0.2:{site.port}/page/links")).status == 451
    assert (await reader.get(f"/http://localhost:{site.port}/page/links")).status == 451


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::200e",
     "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "172.15.0.1", "172.32.0.1", "100.128.0.1"],
)  # fmt: skip
def test_public_addresses_pass(address: str) -> None:
    assert not refused(ip_address(address))


class Names:
    """A name server that answers differently every time it is asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        answer = self.answers[min(self.asked, len(self.answers)) - 1]
        if not answer:
            raise OSError(host)
        return answer


def guard(names: Names, *allowed: Origin) -> Guard:
    return Guard(names, domain="own.example", allowed=frozenset(allowed), own_origins=frozenset())


def parsed(url: str) -> Target:
    found = target.parse(url)
    assert isinstance(found, Target)
    return found


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::1"], ["::ffff:10.0.0.1"],
     ["169.254.169.254"], ["fe80::1%eth0"]],
)  # fmt: skip
async def test_name_with_any_private_address_is_refused(addresses: list[str]) -> None:
    verdict = await guard(Names(addresses)).judge(parsed("http://name.example/"))
    assert isinstance(verdict, Refusal)
    assert verdict.number == 45102


async def test_name_without_address_could_not_be_resolved() -> None:
    verdict = await guard(Names([])).judge(parsed("http://name.example/"))
    assert isinstance(verdict, Refusal)
    assert verdict.message == "Domain 'name.example' could not be resolved"


async def test_rebinding_name_is_asked_once_and_pinned(canary: Canary) -> None:
    """Public for the judge, loopback for anyone who would ask again: nobody asks again."""
    names = Names(["192.0.1.1"], ["127.0.0.1"])
    judge = guard(names)
    verdict = await judge.judge(parsed(f"http://name.example:{canary.port}/"))
    assert isinstance(verdict, Pinned)
    tls = ssl.create_default_context()
    timeout = aiohttp.ClientTimeout(total=0.3)
    async with aiohttp.ClientSession(connector=connector(verdict, tls), timeout=timeout) as session:
        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            await session.get(verdict.target.url)
    assert names.asked == 1
    assert canary.connections == 0


async def test_connector_refuses_what_was_not_judged(canary: Canary) -> None:
    pinned = Pinned(parsed("http://name.example/"), (ip_address("192.0.1.1"),))
    tls = ssl.create_default_context()
    for url in (f"http://127.0.0.1:{canary.port}/", f"http://[::1]:{canary.port}/",
                f"http://localhost:{canary.port}/", "http://other.example/"):  # fmt: skip
        async with aiohttp.ClientSession(connector=connector(pinned, tls)) as session:
            with pytest.raises((aiohttp.ClientConnectorError, AddressRefusedError)):
                await session.get(url)
    assert canary.connections == 0


async def test_pinned_name_is_fetched_with_its_own_host_header(site: Site) -> None:
    origin = Origin("http", "name.example", site.port)
    names = Names(["127.0.0.1"])
    fetcher = Fetcher(guard(names, origin), ssl.create_default_context(), "tests")
    page = await fetcher.fetch(parsed(f"http://name.example:{site.port}/page/links"), ASK)
    assert isinstance(page, Fetched)
    assert page.status == 200
    assert site.requests[-1][1]["Host"] == f"name.example:{site.port}"


async def test_every_hop_is_judged_anew(site: Site, canary: Canary) -> None:
    """The second hop has the same name, which by then means loopback on another port."""
    origin = Origin("http", "name.example", site.port)
    names = Names(["127.0.0.1"], ["127.0.0.1"])
    fetcher = Fetcher(guard(names, origin), ssl.create_default_context(), "tests")
    to = quote(f"http://name.example:{canary.port}/", safe="")
    verdict = await fetcher.fetch(parsed(f"http://name.example:{site.port}/redirect?to={to}"), ASK)
    assert isinstance(verdict, Refusal)
    assert verdict.number == 45102
    assert names.asked == 2
    assert canary.connections == 0


async def _all(asks: Sequence[Coroutine[None, None, Answer]]) -> list[Answer]:
    limit = asyncio.Semaphore(20)

    async def one(ask: Coroutine[None, None, Answer]) -> Answer:
        async with limit:
            return await ask

    return await asyncio.gather(*(one(ask) for ask in asks))
