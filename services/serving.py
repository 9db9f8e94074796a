"""Runs one service: listens, lets only the gateway in, answers /health, stops in good order.

It refuses requests that the gateway did not sign, and it leaves no process behind: when its parent
is killed, the kernel kills it too.
"""

import argparse
import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import uvloop
from aiohttp import web

from services import logs, trace_context, wire
from services.accepting import Door, Listen, parse_listen
from services.parent import die_with_parent
from services.settings import Settings, SettingsError, from_environment
from services.signing import Signed, body_matches, verify_head
from services.turnstile import Turnstile

HEALTH_PATH: Final = "/health"
# Longer than the gateway keeps an idle connection, so that it never writes into a closed one.
KEEPALIVE_S: Final = 120.0
# What is still open after this long is cut off, so that a stop always ends.
DRAIN_S: Final = 10.0
EXIT_SETTINGS: Final = 2
# About 1 ms of hashing.
LARGE_BODY_BYTES: Final = 256 * 1024
SWITCH_S: Final = 0.0005

SIGNED: Final = web.RequestKey("signed", Signed)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Writes a refusal in the envelope of the service: HTTP status and one public sentence.
Envelope = Callable[[web.Request, int, str], web.Response]

LOGGER: Final = "sluice.service"


def build_app(
    settings: Settings, handler: Handler, envelope: Envelope, body_bytes: int
) -> web.Application:
    """An application whose every path goes to `handler`, once the gateway's signature is proved."""
    guard = _Guard(settings.accepted_secrets, envelope)
    app = web.Application(client_max_size=body_bytes, middlewares=[guard.middleware])
    # Every path, also one with an encoded line end, which "." would not match.
    app.router.add_route("*", r"/{tail:[\s\S]*}", handler)
    return app


class _Guard:
    """The one door: health for anybody, everything else for the gateway."""

    def __init__(self, secrets: Sequence[bytes], envelope: Envelope) -> None:
        self._secrets = secrets
        self._envelope = envelope
        self._turnstile = Turnstile()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == HEALTH_PATH and wire.SIGNATURE not in request.headers:
            return web.json_response({"status": "ok"})
        await self._turnstile.through()
        signed = self._signed(request)
        if isinstance(signed, str):
            return self._envelope(request, 401, f"Only the gateway may ask this service: {signed}")
        try:
            if not await _is_signed(signed, await request.read()):
                return self._envelope(request, 401, "The body is not the one that was signed")
            request[SIGNED] = signed
            logs.REQUEST_ID.set(signed.request_id)
            trace_context.take(request.headers)
            return await handler(request)
        except web.HTTPRequestEntityTooLarge:
            return self._envelope(request, 413, "The request body is too large")
        except web.HTTPException as refusal:
            return self._envelope(request, refusal.status, refusal.reason)
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            logging.getLogger(LOGGER).exception("request %s failed", signed.request_id)
            return self._envelope(request, 500, "The service failed; the request is not charged")
        finally:
            logs.REQUEST_ID.set("")

    def _signed(self, request: web.Request) -> Signed | str:
        """By whichever secret; the sentence is that of the first."""
        found = [
            verify_head(secret, request.method, request.raw_path, request.headers, _now_ms())
            for secret in self._secrets
        ]
        return next((each for each in found if isinstance(each, Signed)), found[0])


async def _is_signed(signed: Signed, body: bytes) -> bool:
    """Whether it is the body that was signed; a large one is hashed in a thread."""
    if len(body) < LARGE_BODY_BYTES:
        return body_matches(signed, body)
    return await asyncio.to_thread(body_matches, signed, body)


def main(name: str, build: Callable[[Settings], web.Application]) -> None:
    """The command `python -m services.<name> --listen ...`; returns when told to stop."""
    parser = argparse.ArgumentParser(prog=f"python -m services.{name}")
    parser.add_argument("--listen", required=True, help="unix:/path or host:port")
    parser.add_argument(
        "--outlive-parent",
        action="store_true",
        help="go on when the process that started this one is gone",
    )
    parser.add_argument("--parent", type=int, help="the process id without which to end at once")
    arguments = parser.parse_args()
    if not arguments.outlive_parent:
        die_with_parent(arguments.parent)
    try:
        listen = parse_listen(arguments.listen)
        settings = from_environment()
        logs.log_to(sys.stderr, name, settings.log_format, settings.key_prefix)
        app = build(settings)
    except (ValueError, SettingsError) as fault:
        mistakes = fault.mistakes if isinstance(fault, SettingsError) else (str(fault),)
        sys.stderr.write("".join(f"services.{name}: {mistake}\n" for mistake in mistakes))
        raise SystemExit(EXIT_SETTINGS) from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(app, listen))


def runner_of(app: web.Application) -> web.AppRunner:
    """The application as every service runs it."""
    return web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        # Work for a gateway that has hung up is work for nobody.
        handler_cancellation=True,
        shutdown_timeout=DRAIN_S,
        max_line_size=64 * 1024,  # a target may be a long URL, percent-encoded
    )


def settle() -> None:
    """Takes all that will stay out of the collector's full passes, which would hold the loop.

    Threads let go of the interpreter soon: the loop waits for each of those that work.
    """
    sys.setswitchinterval(SWITCH_S)
    gc.collect()
    gc.freeze()


async def serve(app: web.Application, listen: Listen) -> None:
    """Serves until SIGTERM or SIGINT, then lets open requests end, for at most DRAIN_S."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = runner_of(app)
    await runner.setup()
    assert runner.server is not None
    door = Door(runner.server)
    try:
        settle()
        await door.open(listen)
        logging.getLogger(LOGGER).info("listening on %s", ", ".join(door.addresses))
        await stop.wait()
    finally:
        await door.close()
        await runner.cleanup()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
