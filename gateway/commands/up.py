"""`sluice up`: embedded servers, services, gateway and worker in one terminal, until Ctrl-C.

1. Check packs, products and ports, and take the data folder; a sentence and exit code 2 if not.
2. Start PostgreSQL and Redis (unless external) and, meanwhile, the services.
3. Migrate, then start the worker, the operations listener and the gateway processes.
4. Wait until /health answers 200; print addresses, a fresh key, three commands.
5. SIGUSR2: new gateway processes in the place of the old ones, without a lost request.
6. SIGINT or SIGTERM: stop in reverse order, exit code 0; a second one does not wait any more.

Refuses to leave a process behind, whatever ends it. What dies meanwhile is started again.
"""

import argparse
import asyncio
import signal
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway import app
from gateway.billing.pack_file import load_packs
from gateway.commands import household, ports, welcome
from gateway.commands.demo_page import DemoPage
from gateway.commands.doorway import open_doorway
from gateway.commands.migrate import bring_up_to_date
from gateway.commands.rolling import Reload, Rolling
from gateway.commands.running import Signals, log_ends, log_to_stderr
from gateway.commands.running_here import listener, running_here
from gateway.commands.secret_files import keep_secret
from gateway.commands.small_http import ask
from gateway.commands.terminal import complain, say
from gateway.control.ops import operations
from gateway.embedded.faults import FolderInUse, ServerDied
from gateway.embedded.folder import OwnerLock, socket_folder
from gateway.embedded.postgres_server import PostgresServer
from gateway.embedded.redis_server import RedisServer
from gateway.embedded.supervisor import Supervisor
from gateway.errors import Fault
from gateway.products.builtin import load_catalogue
from gateway.settings import Settings, load_settings

HELP = "run everything in the foreground: embedded servers, services, gateway, worker"
_READY_S = 60.0
_POLL_S = 0.05
_SECOND = "stop it first; a second one needs its own SLUICE_DATA_DIR, SLUICE_PORT, SLUICE_OPS_PORT"
# One death may be bad luck (a killed process at a start); more is a mistake that will not heal.
_DEATHS_TOO_MANY = 3
# PostgreSQL's own default; more only where many processes need it.
_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is going to run; `settings` are those of the children, with every address filled in."""

    settings: Settings
    postgres: PostgresServer | None
    redis: RedisServer | None
    sockets: Mapping[str, Path]
    demo: DemoPage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None: everything is a setting."""
    parser.epilog = "Settings are environment variables; `sluice doctor --settings` lists them."


def execute(settings: Settings, _: argparse.Namespace) -> int:
    """Run until a signal; 0 after one, 2 when something else is in the way, 1 after a fault."""
    # A mistake in them is told here, once, and not by every child as it dies.
    load_packs(settings.packs)
    load_catalogue(settings.products)
    for name, host, port in (
        ("SLUICE_PORT", settings.bind, settings.port),
        ("SLUICE_OPS_PORT", settings.ops_bind, settings.ops_port),
    ):
        reason = ports.why_not(host, port) if port else None
        if reason is not None:
            process = listener(running_here(settings), port)
            if process is None:
                complain(f"{reason}: stop what uses it, or set {name} to another port")
            else:
                complain(f"it runs already, as process {process} on this data folder: {_SECOND}")
            return 2
    owner = OwnerLock(settings.data_dir)
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner.take()
    except FolderInUse as fault:
        complain(str(fault))
        return 2
    except OSError as error:
        complain(f"SLUICE_DATA_DIR {settings.data_dir} cannot be used: {error.strerror}")
        return 2
    log_to_stderr("operations", settings)
    try:
        return asyncio.run(_run(settings))
    finally:
        owner.release()


async def _run(settings: Settings) -> int:
    told = Signals()
    supervisor = Supervisor(log_ends)
    _heed_signals(told, supervisor)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(supervisor.stop)
        starting = asyncio.create_task(_start(settings, supervisor, stack, told))
        asked = asyncio.create_task(told.stop.wait())
        try:
            await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                await starting
            await asked
            say("stopping")
        except (Fault, OSError) as fault:
            complain(str(fault))
            return 1
        finally:
            for task in (starting, asked):
                task.cancel()
            await asyncio.gather(starting, asked, return_exceptions=True)
    return 0


def _heed_signals(told: Signals, supervisor: Supervisor) -> None:
    def heed() -> None:
        if told.stop.is_set():
            supervisor.kill()
        told.stop.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, told.again.set)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, heed)


async def _start(
    settings: Settings, supervisor: Supervisor, stack: AsyncExitStack, told: Signals
) -> None:
    plan = _plan(settings)
    await stack.enter_async_context(plan.demo.listening())
    await _together(
        supervisor.add(*(server for server in (plan.postgres, plan.redis) if server is not None)),
        supervisor.add(*household.services(plan.settings, plan.sockets)),
    )
    assert plan.settings.database_url is not None
    await bring_up_to_date(plan.settings.database_url)
    base = await stack.enter_async_context(app.ground(plan.settings, "operations"))
    parts = app.ops_parts(base)
    await stack.enter_async_context(operations(parts))
    await supervisor.add(household.worker(plan.settings))
    # The door opens last: whoever sees /health answer may call every product.
    await _until(plan, supervisor, _services_listen)
    doorway = open_doorway(plan.settings)
    stack.callback(doorway.close)
    rolling = Rolling(supervisor, doorway, plan.settings)
    stack.push_async_callback(rolling.stop)
    stack.callback(parts.readiness.leave)
    await rolling.start()
    await _until(plan, supervisor, _healthy)
    await _welcome(plan)
    reload = Reload(lambda: plan.settings, parts.reload.turn_to)
    await rolling.keep(told, reload, complain)


def _plan(settings: Settings) -> _Plan:
    folder = settings.data_dir
    connections = max(_CONNECTIONS, household.connections_wanted(settings.workers))
    postgres = (
        PostgresServer(folder, max_connections=connections)
        if settings.database_url is None
        else None
    )
    redis = RedisServer(folder) if settings.redis_url is None else None
    run = folder / "run"
    sockets = {
        name: socket_folder(run, f"{name}.sock") / f"{name}.sock"
        for name in household.wanted(settings)
    }
    for stale in sockets.values():
        # What a killed service left would look like one that is ready.
        stale.unlink(missing_ok=True)
    port = settings.port or ports.any_free(settings.bind)
    ops_port = settings.ops_port or ports.any_free(settings.ops_bind, but=(port,))
    demo = DemoPage(ports.any_free("127.0.0.1", preferred=ops_port + 1, but=(port,)))
    allowed = settings.environ.get("SLUICE_READER_ALLOW", "")
    overrides = {
        "DATA_DIR": str(folder),
        "METRICS_DIR": str(settings.metrics_dir),
        "PORT": str(port),
        "OPS_PORT": str(ops_port),
        "DATABASE_URL": postgres.dsn if postgres else str(settings.database_url),
        "REDIS_URL": redis.url if redis else str(settings.redis_url),
        "ADMIN_TOKEN": settings.admin_token
        or keep_secret(folder, "admin-token", "SLUICE_ADMIN_TOKEN"),
        "KEY_PEPPER": settings.key_pepper or keep_secret(folder, "key-pepper", "SLUICE_KEY_PEPPER"),
        "INTERNAL_SECRET": settings.internal_secret
        or keep_secret(folder, "internal-secret", "SLUICE_INTERNAL_SECRET"),
        "CANARY_PAGE": settings.canary_page or f"{demo.origin}/",
        "READER_ALLOW": ",".join(filter(None, (allowed, demo.origin))),
        **household.addresses(settings, sockets),
    }
    children = load_settings(household.environment(settings, overrides))
    return _Plan(children, postgres, redis, sockets, demo)


async def _together(*starts: Coroutine[object, object, None]) -> None:
    for outcome in await asyncio.gather(*starts, return_exceptions=True):
        if outcome is not None:
            raise outcome


async def _until(
    plan: _Plan, supervisor: Supervisor, ready: Callable[[_Plan], Coroutine[object, object, bool]]
) -> None:
    try:
        async with asyncio.timeout(_READY_S):
            while not await ready(plan):
                await _pause(supervisor)
    except TimeoutError:
        raise ServerDied(f"not everything is ready after {_READY_S:.0f} s") from None


async def _services_listen(plan: _Plan) -> bool:
    for socket in plan.sockets.values():
        if not await ports.accepts(socket):
            return False
    return True


async def _pause(supervisor: Supervisor) -> None:
    if supervisor.deaths >= _DEATHS_TOO_MANY:
        raise ServerDied("a process keeps ending at its start; its own words are above")
    await asyncio.sleep(_POLL_S)


async def _healthy(plan: _Plan) -> bool:
    settings = plan.settings
    try:
        reply = await ask(ports.reachable(settings.bind), settings.port, "GET", "/health")
    except OSError:
        return False
    return reply.status == 200


async def _welcome(plan: _Plan) -> None:
    settings = plan.settings
    door = _url(settings.bind, settings.port)
    operations = _url(settings.ops_bind, settings.ops_port)
    lines = [*welcome.addresses(door, operations, settings.data_dir, settings.domain)]
    key, why = await _fresh_key(settings)
    lines += welcome.fresh_key(key) if key else welcome.no_fresh_key(why)
    page = f"{plan.demo.origin}/" if "reader" in plan.sockets else "https://example.com/"
    lines += welcome.commands(door, key or "$KEY", page, f"{page}nothing")
    say("\n".join(lines))


async def _fresh_key(settings: Settings) -> tuple[str, str]:
    """A key minted as the operator, so that no number of starts uses an address up; or why not."""
    bearer = {"Authorization": f"Bearer {settings.admin_token}"}
    try:
        reply = await ask(
            ports.reachable(settings.ops_bind),
            settings.ops_port,
            "POST",
            "/admin/keys",
            headers=bearer,
            body=b'{"owner": ""}',
        )
        answer = orjson.loads(reply.body)
    except (OSError, ValueError) as error:
        return "", str(error)
    if reply.status == 201:
        return str(answer["api_key"]), ""
    return "", f"the operations listener answered {reply.status}"


def _url(bind: str, port: int) -> str:
    host = ports.reachable(bind)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
