"""The household of the matrix: two gateways and a worker, each behind proxies of its own.

    client -> gateway 0 -> proxy -> Redis, PostgreSQL, services, Stripe
    client -> gateway 1 -> proxy -> the same
              worker    -> proxy -> the same stores and Stripe

Whatever a cell breaks, `mend` brings back; a house is used by one cell after another.
"""

import asyncio
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.admission.gate import Gate
from gateway.commands.migrate import bring_up_to_date
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.redis_link import RedisLink
from gateway.telemetry.snapshots import read
from tests.crash.house import House, until
from tests.faults import WATCH_VARIABLE
from tests.faults.journal import listens_nowhere, ready
from tests.faults.proxy import Proxy
from tests.faults.service import Services
from tests.stripe_standin import StandIn

PLACES = 2
WORKER = 2
# Of a key that no limit stops, and of those that one does.
LOW_RPM = 12
ANONYMOUS_RPM = 12
_START_S = 60.0
# Deadlines that a test can wait for; an address has a limit that a cell reaches.
_CATALOGUE = f"""
[reader]
anonymous = {{ rpm = {ANONYMOUS_RPM} }}
deadline_ms = 4_000
first_byte_ms = 1_500

[embeddings]
deadline_ms = 4_000
first_byte_ms = 1_500

[deepsearch]
deadline_ms = 4_000
first_byte_ms = 1_500
"""


@dataclass
class Links:
    """The proxies of one process."""

    redis: Proxy
    postgres: Proxy
    stripe: Proxy
    service: Proxy | None = None

    @property
    def all(self) -> list[Proxy]:
        found = [self.redis, self.postgres, self.stripe]
        return found if self.service is None else [*found, self.service]


class Watch:
    """Hears from the gateways' spools; while armed, each waits at its point for the answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heard: Callable[[str, int], None] | None = None
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._told, self._folder / "watch")

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def arm(self, heard: Callable[[str, int], None]) -> None:
        """Call `heard` with point and place, while the spool of that place waits."""
        self._heard = heard
        (self._folder / "armed").touch()

    def disarm(self) -> None:
        """Ask no more."""
        self._heard = None
        (self._folder / "armed").unlink(missing_ok=True)

    async def _told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        point, _, place = (await reader.readline()).decode().strip().partition(" ")
        if self._heard is not None and point:
            self._heard(point, int(place))
        writer.write(b"!")
        writer.close()


class FaultHouse(House):
    """See the module."""

    def __init__(
        self, folder: Path, servers: tuple[PostgresServer, RedisServer], stripe: StandIn
    ) -> None:
        self.postgres_server, self.redis_server = servers
        super().__init__(
            folder / "house", self.postgres_server.dsn, self.redis_server.url, "http://127.0.0.1:1"
        )
        self.stripe = stripe
        self.services = Services()
        self.watch = Watch(folder)
        self.links: list[Links] = []
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.ports: list[int] = []
        self._kept: list[socket.socket] = []
        self._folder = folder
        catalogue = folder / "products.toml"
        catalogue.write_text(_CATALOGUE, encoding="utf-8")
        more = {
            "PRODUCTS": str(catalogue),
            "SHIP_INTERVAL_MS": "5",
            "WORKERS": str(PLACES),
            "STRIPE_SECRET_KEY": stripe.secret_key,
            "STRIPE_WEBHOOK_SECRET": stripe.webhook_secret,
        }
        self.settings |= {f"SLUICE_{name}": text for name, text in more.items()}

    async def open(self, stack: AsyncExitStack) -> None:
        """Everybody is up."""
        await self.services.open(PLACES)
        await self.watch.open()
        for place in (*range(PLACES), WORKER):
            redis = await stack.enter_async_context(Proxy(self.redis_server.socket))
            postgres = await stack.enter_async_context(Proxy(self.postgres_server.socket))
            stripe = await stack.enter_async_context(Proxy(("127.0.0.1", self.stripe.port)))
            links = Links(redis, postgres, stripe)
            if place != WORKER:
                port = self.services.ports[place]
                links.service = await stack.enter_async_context(Proxy(("127.0.0.1", port)))
                self._kept.append(listens_nowhere())
                self.ports.append(self._kept[-1].getsockname()[1])
            self.links.append(links)
        for place in (*range(PLACES), WORKER):
            self.begin(place)
        await self.all_ready()

    def begin(self, place: int) -> None:
        """Start a gateway, or the worker."""
        links = self.links[place]
        ours = {
            "SLUICE_REDIS_URL": f"redis://127.0.0.1:{links.redis.port}",
            "SLUICE_DATABASE_URL": f"postgresql://postgres@127.0.0.1:{links.postgres.port}/sluice",
            "SLUICE_STRIPE_API_BASE": f"http://127.0.0.1:{links.stripe.port}",
            WATCH_VARIABLE: f"{self._folder}:{place}",
        }
        if links.service is not None:
            url = f"http://127.0.0.1:{links.service.port}"
            ours |= {f"SLUICE_SERVICE_{n}_URL": url for n in ("EMBEDDINGS", "READER", "DEEPSEARCH")}
        before, self.settings = self.settings, {**self.settings, **ours}
        if place == WORKER:
            self.processes[place] = self.start("worker")
        else:
            words = [sys.executable, "-m", "tests.faults.watched", "serve", "--child", str(place)]
            self.processes[place] = self._start(words, f"serve-{place}", self.ports[place])
        self.settings = before

    async def all_ready(self) -> None:
        """Until every gateway says that it is ready, undegraded."""
        for place in range(PLACES):

            async def up(place: int = place) -> bool:
                assert self.processes[place].poll() is None, self.logs()
                status, body = await ready(self.ports[place])
                return status == 200 and b"degraded" not in body

            await until(up, _START_S)

    async def mend(self) -> list[int]:
        """Links are whole, whoever is away comes back; the places that had to be begun again."""
        for links in self.links:
            for proxy in links.all:
                proxy.heal()
        dead = [place for place, process in self.processes.items() if process.poll() is not None]
        for place in dead:
            self.begin(place)
        return dead

    def kill(self, place: int) -> None:
        """kill -9 of a gateway or the worker, now."""
        self.processes[place].send_signal(signal.SIGKILL)
        self.processes[place].wait(10)

    async def shas(self) -> tuple[bytes, bytes]:
        """What the commands that admit and that settle are known by on the wire."""
        scripts = Gate(RedisLink(self.redis_url)).scripts
        return scripts._admit.sha, scripts._settle.sha

    async def contents(self) -> dict[bytes, object]:
        """What the leftovers are."""
        link = RedisLink(self.redis_url, deadline_ms=2_000)
        await link.open()
        try:
            return {
                name: await link.call(None, "HGETALL", name)
                if b"h:" in name
                else await link.call(None, "ZRANGE", name, "0", "-1")
                for name in await self.leftovers()
            }
        finally:
            await link.close()

    async def local_decisions(self) -> int:
        """How often gateways have let a request in by themselves, without Redis, as they count."""
        metric = "sluice_degraded_decisions"
        found = 0
        for each in await asyncio.to_thread(read, self.folder / "metrics", ""):
            for labels, numbers in each.counts.get(metric, {}).items():
                found += int(numbers[0]) if "local_" in labels else 0
        return found

    @property
    def live_gateways(self) -> int:
        return sum(self.processes[place].poll() is None for place in range(PLACES))

    async def close(self) -> None:
        self.watch.disarm()
        await super().close()
        await self.watch.close()
        await self.services.close()
        for sock in self._kept:
            sock.close()


@asynccontextmanager
async def open_house() -> AsyncIterator[FaultHouse]:
    """A house of one's own, with servers of its own."""
    folder = Path(tempfile.mkdtemp(prefix="sluice-faults-"))
    folder.chmod(0o755)
    postgres, redis = PostgresServer(folder), RedisServer(folder)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.push_async_callback(redis.stop)
        stack.push_async_callback(postgres.stop)
        await asyncio.gather(postgres.start(), redis.start())
        await bring_up_to_date(postgres.dsn)
        stripe = await stack.enter_async_context(StandIn())
        house = FaultHouse(folder, (postgres, redis), stripe)
        stack.push_async_callback(house.close)
        await house.open(stack)
        yield house
