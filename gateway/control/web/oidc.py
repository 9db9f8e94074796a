"""Signing in at an OpenID Connect provider: authorization code with PKCE.

1. The browser gets one secret in a cookie; state, nonce and verifier are derived from it.
2. The provider sends it back with a code, which is exchanged here for an ID token over TLS.
3. Because it comes from the token endpoint over TLS, its signature need not be checked (OpenID
   Connect Core 3.1.3.7, 6); issuer, audience, expiry and nonce are.

Refuses any endpoint without TLS, unless it is on this machine.
"""

import base64
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import orjson

from gateway.errors import Fault
from gateway.knob_readers import is_loopback
from gateway.units import KIB

_DEADLINE_S: Final = 10
_MOST_BYTES: Final = 256 * KIB
_SKEW_S: Final = 60
_KEEP_DISCOVERY_S: Final = 3_600.0
_ENDPOINTS: Final = ("authorization_endpoint", "token_endpoint")


class ProviderFailed(Fault):
    """The provider did not say who it is; the text is for everybody."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who it is. `email` None: the provider does not vouch for an address."""

    subject: str
    email: str | None


@dataclass(frozen=True, slots=True)
class Way:
    """What is derived from the secret of one browser."""

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """The verifier's digest, for the first step of PKCE."""
        return _text(sha256(self.verifier.encode()).digest())


def way_of(secret: str) -> Way:
    """State, nonce and verifier; who has not the secret knows none of them."""
    return Way(
        *(_text(hmac.digest(secret.encode(), n, sha256)) for n in (b"state", b"nonce", b"v"))
    )


class Provider:
    """One issuer and us as its client."""

    def __init__(self, issuer: str, client_id: str, client_secret: str | None) -> None:
        self.issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._known: tuple[float, Mapping[str, Any]] | None = None

    async def begin(self, secret: str, redirect_uri: str) -> str:
        """Where the browser is sent; raises ProviderFailed."""
        found, way = await self._discovery(), way_of(secret)
        words = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": "openid email",
            "state": way.state,
            "nonce": way.nonce,
            "code_challenge": way.challenge,
            "code_challenge_method": "S256",
        }
        address = str(found["authorization_endpoint"])
        return f"{address}{'&' if '?' in address else '?'}{urlencode(words)}"

    async def finish(self, secret: str, code: str, redirect_uri: str) -> Identity:
        """Who the browser is; raises ProviderFailed."""
        found, way = await self._discovery(), way_of(secret)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": way.verifier,
        }
        headers = {"Accept": "application/json"}
        methods = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if self._client_secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in methods:
            pair = f"{quote(self._client_id, safe='')}:{quote(self._client_secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        told = await _asked(str(found["token_endpoint"]), form, headers)
        return self._identity(_claims(told.get("id_token")), way)

    def _identity(self, claims: Mapping[str, Any], way: Way) -> Identity:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        several = len(audiences) > 1 or "azp" in claims
        expiry, subject = claims.get("exp"), claims.get("sub")
        if claims.get("iss") != self.issuer:
            raise ProviderFailed("its token is of another issuer")
        if self._client_id not in audiences or (several and claims.get("azp") != self._client_id):
            raise ProviderFailed("its token is for somebody else")
        if not isinstance(expiry, int | float) or expiry < time.time() - _SKEW_S:
            raise ProviderFailed("its token is too old")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(
            nonce.encode(), way.nonce.encode()
        ):
            raise ProviderFailed("its token is for another sign-in")
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise ProviderFailed("its token names nobody")
        email = claims.get("email")
        vouched = claims.get("email_verified") is True and isinstance(email, str)
        return Identity(subject, str(email) if vouched else None)

    async def _discovery(self) -> Mapping[str, Any]:
        if self._known is not None and self._known[0] > time.monotonic():
            return self._known[1]
        address = self.issuer.rstrip("/") + "/.well-known/openid-configuration"
        found = await _asked(address, None, {"Accept": "application/json"})
        if found.get("issuer") != self.issuer:
            raise ProviderFailed("its discovery document is of another issuer")
        for name in _ENDPOINTS:
            parts = urlsplit(str(found.get(name, "")))
            local = parts.scheme == "http" and is_loopback(parts.hostname or "")
            if not parts.hostname or not (parts.scheme == "https" or local):
                raise ProviderFailed(f"its {name} is not https")
        self._known = (time.monotonic() + _KEEP_DISCOVERY_S, found)
        return found


async def _asked(
    address: str, form: Mapping[str, str] | None, headers: Mapping[str, str]
) -> Mapping[str, Any]:
    """A JSON object of the provider."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_DEADLINE_S)) as client,
            client.request(
                "GET" if form is None else "POST",
                address,
                data=form,
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            if answer.status != 200:
                raise ProviderFailed(f"it answered {answer.status}")
            body = b""
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ProviderFailed("it answered too much")
            document = orjson.loads(body)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise ProviderFailed("it could not be asked") from error
    if not isinstance(document, dict):
        raise ProviderFailed("it answered something else")
    return document


def _claims(token: object) -> Mapping[str, Any]:
    """What a token says."""
    words = token.split(".") if isinstance(token, str) else []
    if len(words) != 3:
        raise ProviderFailed("it sent no ID token")
    try:
        padded = words[1] + "=" * (-len(words[1]) % 4)
        claims = orjson.loads(base64.urlsafe_b64decode(padded))
    except ValueError as error:
        raise ProviderFailed("its ID token cannot be read") from error
    if not isinstance(claims, dict):
        raise ProviderFailed("its ID token cannot be read")
    return claims


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
