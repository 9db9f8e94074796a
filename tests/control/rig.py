"""A gateway with its operations listener in this process, on real servers and sockets."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway import app
from gateway.control.ops import operations
from gateway.settings import Settings, load_settings
from tests.control.plain_http import Told, ask

TOKEN = "the-admin-token-of-the-tests"
PEPPER = "the-pepper-of-the-tests-0123456789"
SECRETS = {"key_pepper": PEPPER, "internal_secret": "the-internal-secret-of-the-tests"}
# What the stub of the segmenter and the reader reports for each request.
COST_TOKENS = 7


@dataclass(frozen=True)
class Door:
    """One running gateway: ask it things. `ops_port` is the operations listener beside it."""

    node: app.Node
    port: int
    ops_port: int

    async def ask(self, method: str, path: str, **how: Any) -> Told:
        """At the public port."""
        return await ask(self.port, method, path, **how)

    async def ops(self, method: str, path: str, *, token: str | None = TOKEN, **how: Any) -> Told:
        """At the operations listener."""
        return await ask(self.ops_port, method, path, bearer=token, **how)

    async def mint(self, **how: Any) -> dict[str, Any]:
        """A fresh key."""
        told = await self.ask("POST", "/v1/keys", **how)
        assert told.status == 201, told
        minted: dict[str, Any] = told.json()
        return minted

    async def spend(self, key: str, *, expected: int = 200) -> Told:
        """One metered request that costs COST_TOKENS."""
        told = await self.ask("GET", "/https://example.com/", host="r.localhost", bearer=key)
        assert told.status == expected, told
        return told

    async def me(self, key: str) -> dict[str, Any]:
        """The key as its owner sees it."""
        told = await self.ask("GET", "/v1/keys/me", bearer=key)
        assert told.status == 200, told
        shown: dict[str, Any] = told.json()
        return shown


def settings_for(
    folder: Path, database: str, redis_url: str, service: str, more: Mapping[str, str]
) -> Settings:
    """Settings of a gateway on these servers, with one service behind r. and segment."""
    ours = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": database,
        "REDIS_URL": redis_url,
        "ADMIN_TOKEN": TOKEN,
        "KEY_PEPPER": PEPPER,
        "OPS_PORT": "0",
        "WORKERS": "1",
        "KEYS_PER_ADDRESS": "1000",
        "REDIS_DEADLINE_MS": "1000",
        "DRAIN_MS": "1000",
        "SERVICE_READER_URL": service,
        "SERVICE_SEGMENTER_URL": service,
    }
    return load_settings({f"SLUICE_{name}": text for name, text in {**ours, **more}.items()})


@asynccontextmanager
async def gateway(settings: Settings, *, with_worker: bool = False) -> AsyncIterator[Door]:
    """A gateway process in this one, with an operations listener of its own."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(settings, "test"))
        # An operations listener has a ground of its own, as in `up` and `serve`.
        beside = await stack.enter_async_context(app.ground(settings, "operations"))
        ops_port = await stack.enter_async_context(operations(app.ops_parts(beside)))
        node = await stack.enter_async_context(app.node(base, SECRETS))
        sock = app.listening_socket("127.0.0.1", 0)
        port = sock.getsockname()[1]
        await stack.enter_async_context(app.listening(node, sock))
        if with_worker:
            await stack.enter_async_context(app.background(base))
        yield Door(node, port, ops_port)


async def until(what: Any, *, within_s: float = 60.0) -> Any:
    """Ask again until the answer is true; that answer."""
    async with asyncio.timeout(within_s):
        while True:
            found = await what()
            if found:
                return found
            await asyncio.sleep(0.02)
