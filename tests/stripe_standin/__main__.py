"""`python -m tests.stripe_standin`: the stand-in alone, until Ctrl-C."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from tests.stripe_standin import state
from tests.stripe_standin.standin import SECRET_KEY, WEBHOOK_SECRET, StandIn


def main() -> int:
    """Run by the command line; 2 when the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.stripe_standin", description=__doc__)
    parser.add_argument("--port", type=int, default=8490, help="0: any that is free")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--webhook-url", help="where events go; nowhere without it")
    parser.add_argument("--secret-key", default=SECRET_KEY)
    parser.add_argument("--webhook-secret", default=WEBHOOK_SECRET)
    parser.add_argument("--state", type=Path, help="a file to begin from, and to keep all in")
    return asyncio.run(_run(parser.parse_args()))


async def _run(told: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    standin = StandIn(
        host=told.host,
        port=told.port,
        webhook_url=told.webhook_url,
        secret_key=told.secret_key,
        webhook_secret=told.webhook_secret,
    )
    if told.state is not None:
        state.load(standin.desk.world, told.state)
    try:
        await standin.start()
    except OSError as error:
        sys.stderr.write(f"port {told.port} cannot be used: {error.strerror}\n")
        return 2
    sys.stdout.write(
        f"Stripe stand-in   {standin.base_url}   (control page: {standin.base_url}/_control)\n"
        f"  SLUICE_STRIPE_API_BASE={standin.base_url}\n"
        f"  SLUICE_STRIPE_SECRET_KEY={told.secret_key}\n"
        f"  SLUICE_STRIPE_WEBHOOK_SECRET={told.webhook_secret}\n"
    )
    sys.stdout.flush()
    await stop.wait()
    await standin.stop()
    if told.state is not None:
        state.save(standin.desk.world, told.state)
    return 0


if __name__ == "__main__":
    sys.exit(main())
