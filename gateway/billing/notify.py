"""Tells owners' webhooks what their recharges did: signed, a few times, and only public addresses.

1. Notices are taken with a lease; what is not delivered comes again after growing pauses, at most
   MOST_ATTEMPTS times.
2. The address is looked up by a resolver that gives out public addresses only, and exactly those
   are connected to: a name that changes its mind in between gains nothing.
3. Nothing of the answer is read but its status, and no redirect is followed.

    Sluice-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>" under the secret>
"""

import asyncio
import hmac
import logging
import socket
import time
from collections.abc import Collection
from hashlib import sha256
from typing import Final

import aiohttp
import orjson
from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.billing.guard import is_allowed, is_public, origin_of
from gateway.billing.recharge_till import Notice, RechargeTill

_LOG = logging.getLogger("sluice.billing")
SIGNATURE: Final = "Sluice-Signature"
MOST_ATTEMPTS: Final = 6
_DEADLINE_S: Final = 10
_BATCH: Final = 20
_LEASE_S: Final = 60
_FIRST_PAUSE_S: Final = 10


class AddressRefused(OSError):
    """The name stands for an address that nobody may make us call."""


class PublicResolver(AbstractResolver):
    """Looks names up, and gives out nothing if any of the addresses is not public."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a host."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        addresses = {(each[0], str(each[4][0])) for each in found}
        if not addresses or not all(is_public(address) for _, address in addresses):
            raise AddressRefused(f"{host} is not a public address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=kind,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, address in sorted(addresses)
        ]

    async def close(self) -> None:
        """Nothing is open."""


def signature(secret: str, body: bytes, unix_s: int) -> str:
    """The header by which an owner knows that it was us."""
    signed = hmac.new(secret.encode(), b"%d.%b" % (unix_s, body), sha256)
    return f"t={unix_s},v1={signed.hexdigest()}"


class Notifier:
    """Delivers notices; `allowed` are origins that an operator lets through though private."""

    def __init__(self, recharges: RechargeTill, allowed: Collection[str]) -> None:
        self._recharges = recharges
        self._allowed = frozenset(allowed)

    async def run_once(self) -> int:
        """Deliver one batch; how many were dealt with."""
        notices = await self._recharges.take_notices(_BATCH, _LEASE_S)
        await asyncio.gather(*(self._deliver(notice) for notice in notices))
        return len(notices)

    async def _deliver(self, notice: Notice) -> None:
        if notice.url is None or notice.secret is None:
            await self._recharges.end_notice(notice.notice_id, "nobody wants to hear it")
            return
        said = await self._post(notice, notice.url, notice.secret)
        if said in range(200, 300):
            await self._recharges.end_notice(notice.notice_id, str(said))
        elif notice.attempts >= MOST_ATTEMPTS:
            _LOG.warning("notice %d was given up: %s", notice.notice_id, said)
            await self._recharges.end_notice(notice.notice_id, f"given up: {said}")
        else:
            pause_s = _FIRST_PAUSE_S * 4 ** (notice.attempts - 1)
            await self._recharges.end_notice(notice.notice_id, str(said), pause_s)

    async def _post(self, notice: Notice, url: str, secret: str) -> int | str:
        """The status of the answer, or why there was none."""
        body = orjson.dumps(
            {
                "id": f"notice_{notice.notice_id}",
                "type": notice.kind,
                "created": notice.created_s,
                "data": dict(notice.body),
            }
        )
        now_s = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Sluice",
            SIGNATURE: signature(secret, body, now_s),
        }
        try:
            async with (
                aiohttp.ClientSession(
                    connector=self._connector(url),
                    timeout=aiohttp.ClientTimeout(total=_DEADLINE_S),
                ) as client,
                client.post(url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:200]

    def _connector(self, url: str) -> aiohttp.TCPConnector:
        if is_allowed(url, self._allowed):
            return aiohttp.TCPConnector()
        refuse_private(url)
        return aiohttp.TCPConnector(resolver=PublicResolver(), use_dns_cache=False)


def refuse_private(url: str) -> None:
    """Raises AddressRefused if the address itself, without any look-up, is not a public one.

    A client library connects to a numeric address without asking its resolver.
    """
    origin = origin_of(url)
    if origin is None:
        raise AddressRefused("no address of a web server")
    host = origin.partition("://")[2].rpartition(":")[0]
    numeric = ":" in host or host.replace(".", "").isdigit() or host.startswith("0x")
    if (numeric and not is_public(host)) or host == "localhost" or host.endswith(".localhost"):
        raise AddressRefused(f"{host} is not a public address")
