"""A browser as far as these tests need one: it keeps cookies and sends what a page would send."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.control.plain_http import Told, ask

HTML = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
_CSRF = re.compile(r'<meta name="csrf-token" content="([0-9a-f]{64})">')


@dataclass
class Browser:
    """One person's browser at one host. `token` is what the page that it has open sends along."""

    port: int
    host: str = ""
    address: str = "127.0.0.1"
    scheme: str = "http"
    jar: dict[str, str] = field(default_factory=dict)
    token: str | None = None

    @property
    def name(self) -> str:
        """The Host that is asked."""
        return self.host or f"127.0.0.1:{self.port}"

    async def open(self, path: str, **headers: str) -> Told:
        """Go to a page."""
        told = await self._ask("GET", path, None, {"Accept": HTML, **headers})
        found = _CSRF.search(told.text) if told.body and told.body[:2] != b"\x1f\x8b" else None
        self.token = found[1] if found else None
        return told

    async def call(self, method: str, path: str, document: Any = None, **headers: str) -> Told:
        """What a script of the open page sends."""
        return await self.bare(method, path, document, **{**self._own(), **headers})

    async def bare(self, method: str, path: str, document: Any = None, **headers: str) -> Told:
        """The same without Origin and token."""
        body = None if document is None else json.dumps(document).encode()
        return await self._ask(method, path, body, headers)

    def _own(self) -> dict[str, str]:
        own = {"Origin": f"{self.scheme}://{self.name}"}
        return own if self.token is None else {**own, "X-Csrf-Token": self.token}

    async def _ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Told:
        cookies = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        sent = {**headers, "Cookie": cookies} if cookies else headers
        told = await ask(
            self.port, method, path, host=self.name, body=body, headers=sent, address=self.address
        )
        for name, value in told.headers:
            if name == "set-cookie":
                self._keep(value)
        return told

    def _keep(self, line: str) -> None:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            self.jar.pop(name, None)
        else:
            self.jar[name] = value

    async def enter(self, key: str) -> dict[str, Any]:
        """Type a key, and open the front page."""
        told = await self.call("POST", "/web/session", {"api_key": key})
        assert told.status == 200, told
        await self.open("/")
        session: dict[str, Any] = told.json()
        return session
