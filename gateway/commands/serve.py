"""`sluice serve`: the gateway processes of one machine and the operations listener beside them.

`--child N` is one gateway process; without it, N of them are started and kept alive, sharing the
port. Refuses to run without PostgreSQL and Redis named: `sluice up` brings its own.
"""

import argparse
from contextlib import AsyncExitStack

from gateway import app
from gateway.commands import household
from gateway.commands.running import log_to_stderr, run, stop_event
from gateway.commands.secret_files import keep_secret
from gateway.commands.terminal import complain, say
from gateway.control.ops import operations
from gateway.embedded.supervisor import Supervisor
from gateway.settings import Settings, load_settings

HELP = "run the gateway on external PostgreSQL and Redis"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--child` is for the parent only."""
    parser.add_argument("--child", type=int, metavar="N", help="be gateway process N (internal)")


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run until a signal; drain; 0."""
    if arguments.child is None:
        return run(_parent(settings))
    log_to_stderr(f"gateway-{arguments.child}")
    return run(_child(settings))


async def _child(settings: Settings) -> int:
    stop = stop_event()
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(settings, "gateway"))
        node = await stack.enter_async_context(app.node(base, secrets_of(settings)))
        sock = app.listening_socket(settings.bind, settings.port)
        await stack.enter_async_context(app.listening(node.server, sock))
        await stop.wait()
    return 0


async def _parent(settings: Settings) -> int:
    stop = stop_event()
    overrides = {
        "METRICS_DIR": str(settings.metrics_dir),
        "DATA_DIR": str(settings.data_dir),
        "ADMIN_TOKEN": settings.admin_token
        or keep_secret(settings.data_dir, "admin-token", "SLUICE_ADMIN_TOKEN"),
        **{name.upper(): value for name, value in secrets_of(settings).items()},
    }
    inner = load_settings(household.environment(settings, overrides))
    supervisor = Supervisor(complain)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(app.ground(inner, "operations"))
        await stack.enter_async_context(operations(app.ops_parts(base)))
        stack.push_async_callback(supervisor.stop)
        await supervisor.add(*household.gateways(inner))
        say(f"{inner.workers} gateway processes on port {inner.port}")
        await stop.wait()
    return 0


def secrets_of(settings: Settings) -> dict[str, str]:
    """The pepper of the keys and the secret of the services: from the settings, else files."""
    folder = settings.data_dir
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "key_pepper": settings.key_pepper or keep_secret(folder, "key-pepper", "SLUICE_KEY_PEPPER"),
        "internal_secret": settings.internal_secret
        or keep_secret(folder, "internal-secret", "SLUICE_INTERNAL_SECRET"),
    }
