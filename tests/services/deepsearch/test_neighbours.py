"""Calls to the services around: signed, each with an id of its own, tried again once."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from services.deepsearch.neighbours import Caller, Neighbour, NeighbourError
from services.signing import Signed, body_matches, verify_head
from tests.services.asking import SECRET


@dataclass
class Service:
    """Answers with these statuses in turn, the last of them for ever."""

    statuses: list[int]
    signed: list[Signed] = field(default_factory=list)
    base: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        now_ms = time.time_ns() // 1_000_000
        found = verify_head(SECRET.encode(), "POST", request.raw_path, request.headers, now_ms)
        assert isinstance(found, Signed), found
        assert body_matches(found, await request.read())
        self.signed.append(found)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        body = {"status": status}
        return web.json_response(body, status=status, headers={"x-usage-tokens": "7"})


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service([200])
    app = web.Application()
    app.router.add_post("/{tail:.*}", service.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


async def _asked(service: Service, caller: Caller, within_s: float = 5.0) -> int:
    near = Neighbour("reader", service.base, SECRET.encode())
    try:
        deadline_s = time.monotonic() + within_s
        return (await near.post("/", {"url": "http://a.test"}, caller, deadline_s)).usage_tokens
    finally:
        await near.close()


async def test_every_call_is_signed_for_the_client_and_has_an_id_of_its_own(
    service: Service,
) -> None:
    outer = str(uuid.uuid4())
    caller = Caller("k:7", outer)
    for _ in range(3):
        assert await _asked(service, caller) == 7
    ids = [signed.request_id for signed in service.signed]
    assert len({*ids, outer}) == 4
    assert all(uuid.UUID(each) for each in ids)
    assert {signed.subject for signed in service.signed} == {"k:7"}
    again = Caller("k:7", outer)
    assert [again.next_id() for _ in range(3)] == ids


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_what_passes_is_asked_once_more(service: Service, status: int) -> None:
    service.statuses = [status, 200]
    assert await _asked(service, Caller("k:1", "x")) == 7
    assert len(service.signed) == 2


async def test_what_stays_is_an_error_after_the_second_time(service: Service) -> None:
    service.statuses = [503]
    with pytest.raises(NeighbourError, match="reader answered 503"):
        await _asked(service, Caller("k:1", "x"))
    assert len(service.signed) == 2


async def test_failure_of_the_service_itself_is_not_asked_for_again(service: Service) -> None:
    service.statuses = [500]
    with pytest.raises(NeighbourError, match="reader answered 500"):
        await _asked(service, Caller("k:1", "x"))
    assert len(service.signed) == 1


async def test_no_time_left_is_an_error_without_a_call(service: Service) -> None:
    with pytest.raises(NeighbourError, match="no time is left"):
        await _asked(service, Caller("k:1", "x"), within_s=-1)
    assert service.signed == []
