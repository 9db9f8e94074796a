"""`sluice serve`: the gateway processes of one machine and the operations listener beside them.

`--child N` is one gateway process; without it, N of them are started and kept alive, sharing the
port. SIGHUP replaces them by new ones, with the settings and the code as they are then, without a
lost request. Refuses to run without PostgreSQL and Redis named: `sluice up` brings its own.
"""

import argparse
import os
import signal
import socket
from contextlib import AsyncExitStack, suppress

from gateway import app
from gateway.commands import household
from gateway.commands.doorway import open_doorway
from gateway.commands.rolling import Reload, Rolling
from gateway.commands.running import (
    keep_what_stands,
    log_ends,
    log_to_stderr,
    run,
    signals,
)
from gateway.commands.secret_files import keep_secret
from gateway.commands.service_manager import READY, STOPPING, notify
from gateway.commands.terminal import say
from gateway.control.ops import operations
from gateway.edge.leaving import Leave, leave
from gateway.embedded.supervisor import Supervisor
from gateway.settings import Settings, load_settings, process_environment
from gateway.units import MS_PER_S

HELP = "run the gateway on external PostgreSQL and Redis"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--child` and what follows are for the parent only."""
    parser.add_argument("--child", type=int, metavar="N", help="be gateway process N (internal)")
    parser.add_argument("--socket", type=int, metavar="FD", help="accept there (internal)")
    parser.add_argument("--ready", type=int, metavar="FD", help="say so there (internal)")
    parser.epilog = (
        "SIGTERM: /ready says no, LAME_DUCK_MS, then DRAIN_MS for what runs. SIGHUP: every gateway "
        "process is replaced by a new one, which reads settings and code anew; no request is lost."
    )


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run until a signal; drain; 0."""
    if arguments.child is None:
        log_to_stderr("operations", settings)
        return run(_parent(settings))
    log_to_stderr(f"gateway-{arguments.child}", settings)
    return run(_child(settings, arguments.socket, arguments.ready))


async def _child(settings: Settings, inherited: int | None, ready: int | None) -> int:
    told = signals(signal.SIGHUP)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(settings, "gateway"))
        node = await stack.enter_async_context(app.node(base, secrets_of(settings)))
        sock = _listening(settings, inherited)
        keep_what_stands()
        listener = await stack.enter_async_context(app.listening(node, sock))
        _say_ready(ready)
        await told.either()
        # Who is replaced keeps nobody away: his successor has the same socket.
        lame_duck_s = 0.0
        if not told.again.is_set():
            node.readiness.leave()
            lame_duck_s = settings.lame_duck_ms / MS_PER_S
        own = sock if inherited is None else None
        drain_s = settings.drain_ms / MS_PER_S
        await leave(node.server, listener, Leave(lame_duck_s, drain_s, own))
    return 0


def _listening(settings: Settings, inherited: int | None) -> socket.socket:
    if inherited is None:
        return app.listening_socket(settings.bind, settings.port)
    sock = socket.socket(fileno=inherited)
    sock.setblocking(False)
    return sock


def _say_ready(fd: int | None) -> None:
    if fd is not None:
        with suppress(OSError):
            os.write(fd, b"1")
        os.close(fd)


async def _parent(settings: Settings) -> int:
    told = signals(signal.SIGHUP, signal.SIGUSR2)
    inner = _inner(settings)
    supervisor = Supervisor(log_ends)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(inner, "operations"))
        parts = app.ops_parts(base)
        await stack.enter_async_context(operations(parts))
        stack.push_async_callback(supervisor.stop)
        doorway = open_doorway(inner)
        stack.callback(doorway.close)
        rolling = Rolling(supervisor, doorway, inner)
        stack.push_async_callback(rolling.stop)
        await rolling.start()
        say(f"{inner.workers} gateway processes on port {doorway.port}")
        if await rolling.ready():
            notify(inner.environ, READY)
        reload = Reload(lambda: _inner(load_settings(process_environment())), parts.reload.turn_to)
        await rolling.keep(told, reload, log_ends)
        parts.readiness.leave()
        notify(inner.environ, STOPPING)
    return 0


def _inner(settings: Settings) -> Settings:
    """The settings of the gateway processes, with every secret in them."""
    overrides = {
        "METRICS_DIR": str(settings.metrics_dir),
        "DATA_DIR": str(settings.data_dir),
        "ADMIN_TOKEN": settings.admin_token
        or keep_secret(settings.data_dir, "admin-token", "SLUICE_ADMIN_TOKEN"),
        **{name.upper(): value for name, value in secrets_of(settings).items()},
    }
    return load_settings(household.environment(settings, overrides))


def secrets_of(settings: Settings) -> dict[str, str]:
    """The pepper of the keys and the secret of the services: from the settings, else files."""
    folder = settings.data_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "key_pepper": settings.key_pepper or keep_secret(folder, "key-pepper", "SLUICE_KEY_PEPPER"),
        "internal_secret": settings.internal_secret
        or keep_secret(folder, "internal-secret", "SLUICE_INTERNAL_SECRET"),
    }
