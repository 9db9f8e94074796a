"""The canary's way through the public door: real HTTP, every call with an end.

Refuses to raise: whatever goes wrong is an answer with status 0 and the reason.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import orjson

_CONNECT_S: Final = 3.0
_LOOK_S: Final = 5.0
_MOST_BYTES: Final = 4 * 2**20
# The outcome is posted some 20 ms after the answer; a slow ledger has this long.
_POSTED_S: Final = 5.0
_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0: nothing did, and `fault` says why."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    fault: str = ""

    @property
    def document(self) -> Mapping[str, Any]:
        """The JSON object of the body; empty if it is none."""
        try:
            found = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> str:
        """The code of a refusal, in the envelope of any host."""
        document = self.document
        nested = document.get("error")
        found = nested.get("code") if isinstance(nested, dict) else None
        return str(found or document.get("error_code") or document.get("name") or "")

    def says(self, code: str) -> bool:
        """Whether the refusal is this one, wherever its envelope puts the code."""
        return code.encode() in self.body


class PublicDoor:
    """HTTP to the front door at `base`, such as http://127.0.0.1:8080."""

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")

    async def ask(
        self,
        method: str,
        path: str,
        key: str | None = None,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        deadline_s: float = _LOOK_S,
    ) -> Answer:
        """One request on a connection of its own."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        if body:
            sent["Content-Type"] = "application/json"
        clock_s = asyncio.get_running_loop().time
        begun_s = clock_s()
        timeout = aiohttp.ClientTimeout(total=deadline_s, connect=_CONNECT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
                session.request(
                    method,
                    # Encoded already: what is asked for is what the trial says.
                    self._base + path,
                    data=body or None,
                    headers=sent,
                    allow_redirects=False,
                ) as answer,
            ):
                content = await answer.content.read(_MOST_BYTES)
                while more := await answer.content.read(_MOST_BYTES):
                    content = (content + more)[:_MOST_BYTES]
                lower = {name.lower(): text for name, text in answer.headers.items()}
                return Answer(answer.status, lower, content, clock_s() - begun_s)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            seconds = clock_s() - begun_s
            fault = f"{type(error).__name__} after {seconds:.1f} s: {error}"
            return Answer(0, seconds=seconds, fault=fault)

    async def request(self, key: str, request_id: str) -> Mapping[str, Any] | None:
        """How a request of the key ended, once it is posted; None if it is not within 5 s."""
        clock_s = asyncio.get_running_loop().time
        until_s = clock_s() + _POSTED_S
        while True:
            answer = await self.ask("GET", f"/v1/requests/{request_id}", key)
            if answer.status == 200 and "state" not in answer.document:
                return answer.document
            if clock_s() > until_s:
                return None
            await asyncio.sleep(_PAUSE_S)

    async def open(self) -> bool:
        """Whether the front door answers at all."""
        return (await self.ask("GET", "/health", deadline_s=_CONNECT_S)).status == 200
