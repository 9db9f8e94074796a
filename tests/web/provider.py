"""An identity provider: it believes whoever comes, and can lie in every way."""

import base64
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from aiohttp import web

CLIENT = "sluice at home"
SECRET = "s3cret & more"


@dataclass
class StandIn:
    """`claims` replaces what a token says, `broken` what the token endpoint answers."""

    issuer: str = ""
    subject: str = "u-1"
    email: str | None = "ann@example.org"
    verified: bool = True
    claims: dict[str, Any] = field(default_factory=dict)
    discovery: dict[str, Any] = field(default_factory=dict)
    broken: web.Response | None = None
    asked: dict[str, dict[str, str]] = field(default_factory=dict)
    forms: list[dict[str, str]] = field(default_factory=list)

    def consent(self, url: str) -> str:
        """What the person does there; answers the path and query of the way back."""
        parts = urlsplit(url)
        words = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert url.startswith(f"{self.issuer}/authorize?")
        assert words["response_type"] == "code"
        assert words["scope"].split()[0] == "openid"
        assert words["code_challenge_method"] == "S256"
        code = f"code-{len(self.asked)}"
        self.asked[code] = words
        back = urlsplit(words["redirect_uri"])
        return f"{back.path}?code={code}&state={words['state']}"

    async def _discover(self, _request: web.Request) -> web.Response:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            **self.discovery,
        }
        return web.json_response(found)

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.broken is not None:
            return self.broken
        pair = base64.b64encode(b"sluice%20at%20home:s3cret%20%26%20more").decode()
        assert request.headers["Authorization"] == f"Basic {pair}"
        asked = self.asked.pop(form["code"])
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert challenge == asked["code_challenge"]
        assert form["redirect_uri"] == asked["redirect_uri"]
        said = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": self.subject,
            "exp": int(time.time()) + 60,
            "nonce": asked["nonce"],
            "email": self.email,
            "email_verified": self.verified,
            **self.claims,
        }
        words = [base64.urlsafe_b64encode(w).rstrip(b"=") for w in (b"{}", orjson.dumps(said))]
        token = b".".join((*words, b"unsigned")).decode()
        return web.json_response({"id_token": token, "token_type": "Bearer"})


@asynccontextmanager
async def identity_provider() -> AsyncIterator[StandIn]:
    """Open while the context is."""
    found = StandIn()
    application = web.Application()
    application.router.add_get("/.well-known/openid-configuration", found._discover)
    application.router.add_post("/token", found._token)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        await runner.cleanup()
