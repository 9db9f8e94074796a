"""The HTTP side of the API: keys, versions, idempotency, outages, errors in their shape."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from tests.stripe_standin import known
from tests.stripe_standin.api_book import Book
from tests.stripe_standin.api_checkout import Sessions
from tests.stripe_standin.api_goods import Goods
from tests.stripe_standin.api_hooks import Hooks
from tests.stripe_standin.api_payments import Intents
from tests.stripe_standin.api_people import People
from tests.stripe_standin.courier import Courier
from tests.stripe_standin.desk import Desk
from tests.stripe_standin.errors import ApiError, Obj
from tests.stripe_standin.faults import (
    BREAK,
    DROP,
    LOSE_ANSWER,
    SLOW,
    STATUS,
    Fault,
    Faults,
    Idempotency,
    Kept,
    refusal,
)
from tests.stripe_standin.form import Params, decode
from tests.stripe_standin.routes import Route, Router

_VERSION = re.compile(r"20\d\d-\d\d-\d\d(\.[a-z]+)?")
_MOST_KEY = 255


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that came in, and the status of its answer (0: the answer was withheld)."""

    method: str
    path: str
    params: Obj
    headers: Mapping[str, str]
    status: int


class Api:
    """Answers everything below /v1/."""

    def __init__(self, desk: Desk, courier: Courier, keys: set[str]) -> None:
        self._world = desk.world
        self._keys = keys
        people = People(desk)
        parts = (
            people,
            Goods(desk),
            Sessions(desk),
            Intents(desk, people),
            Book(desk),
            Hooks(desk, courier),
        )
        routes: list[Route] = [route for part in parts for route in part.routes()]
        self._router = Router(routes)
        self._idempotency = Idempotency()
        self.faults = Faults()
        self.seen: list[Seen] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, whatever happens to it."""
        request_id = "req_" + secrets.token_hex(7)
        fault = self.faults.take(request.method, request.path)
        tree: Obj = {}
        headers: dict[str, str] = {}
        try:
            self._authorised(request)
            tree = await _tree(request)
            status, body = await self._executed(request, tree, request_id, fault, headers)
        except ApiError as error:
            status, body = error.status, _shape(error, request_id)
        except _Silence:
            self._note(request, tree, 0)
            return _hang_up(request)
        if fault is not None and fault.kind == LOSE_ANSWER:
            self._note(request, tree, 0)
            return _hang_up(request)
        self._note(request, tree, status)
        told = {"Request-Id": request_id, "Stripe-Version": self._version(request), **headers}
        return web.json_response(body, status=status, headers=told, dumps=_pretty)

    async def _executed(
        self,
        request: web.Request,
        tree: Obj,
        request_id: str,
        fault: Fault | None,
        headers: dict[str, str],
    ) -> tuple[int, Obj]:
        if fault is not None and fault.kind == STATUS:
            raise refusal(fault.status)
        if fault is not None and fault.kind == DROP:
            raise _Silence
        key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        if key is None:
            await _slowly(fault)
            return 200, self._answer(request, tree, request_id, None)
        if len(key) > _MOST_KEY:
            raise ApiError(400, "Idempotency keys have at most 255 characters.")
        headers["Idempotency-Key"] = key
        before = self._idempotency.begin(key, Kept(request.method, request.path, tree, request_id))
        if before is not None:
            assert before.answer is not None
            headers |= {"Idempotent-Replayed": "true", "Original-Request": before.request_id}
            return before.answer
        try:
            await _slowly(fault)
            if fault is not None and fault.kind == BREAK:
                raise refusal(fault.status, executed=True)
            answer = 200, self._answer(request, tree, request_id, key)
        except ApiError as error:
            if not error.executed:
                self._idempotency.forget(key)
                raise
            answer = error.status, _shape(error, request_id)
        except BaseException:
            self._idempotency.forget(key)
            raise
        self._idempotency.kept[key].answer = answer
        return answer

    def _answer(self, request: web.Request, tree: Obj, request_id: str, key: str | None) -> Obj:
        self._world.request_id, self._world.idempotency_key = request_id, key
        try:
            params = Params(tree)
            found = self._router.find(request.method, request.path)
            if found is None:
                told = f"Unrecognized request URL ({request.method}: {request.path}). "
                raise ApiError(404, told + "If you are trying to list objects, remove the slash.")
            route, ids = found
            known.check(request.method, route.path, tree)
            thing = route.handler(params, *ids)
            if thing["object"] == "list":
                return thing
            return self._world.show(thing, params.texts("expand"))
        finally:
            self._world.request_id = self._world.idempotency_key = None

    def _authorised(self, request: web.Request) -> None:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(given, validate=True).decode().partition(":")[0]
            except ValueError:
                given = "?"
        if not given:
            told = "You did not provide an API key. You need to provide your API key in the "
            raise ApiError(401, told + "Authorization header, using Bearer auth.")
        if given not in self._keys:
            shown = given[:8] + "*" * max(0, len(given) - 12) + given[-4:]
            raise ApiError(401, f"Invalid API Key provided: {shown}")
        version = request.headers.get("Stripe-Version")
        if version is not None and not _VERSION.fullmatch(version):
            raise ApiError(400, f"Invalid Stripe API version: {version}")

    def _version(self, request: web.Request) -> str:
        return request.headers.get("Stripe-Version", self._world.api_version)

    def _note(self, request: web.Request, tree: Obj, status: int) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.seen.append(Seen(request.method, request.path, tree, headers, status))


class _Silence(Exception):
    """The connection ends without an answer."""


async def _tree(request: web.Request) -> Obj:
    text = request.query_string
    if request.method == "POST":
        text = await request.text()
        if text and request.content_type != "application/x-www-form-urlencoded":
            told = "Invalid request (check that your POST content type is "
            raise ApiError(400, told + "application/x-www-form-urlencoded).")
    return decode(parse_qsl(text, keep_blank_values=True))


async def _slowly(fault: Fault | None) -> None:
    if fault is not None and fault.kind == SLOW:
        await asyncio.sleep(fault.seconds)


def _shape(error: ApiError, request_id: str) -> Obj:
    url = f"https://dashboard.stripe.com/test/logs/{request_id}"
    return {"error": {**error.error, "request_log_url": url}}


def _hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
