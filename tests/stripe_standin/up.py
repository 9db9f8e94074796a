"""`make up STRIPE=stand-in`: `sluice up` beside a stand-in for Stripe, in one terminal.

The gateway is told of it by the three settings of Stripe, as it would be of the real one. Ctrl-C
stops both; what the stand-in knows is kept in the data folder until the next time.

Refuses to leave a process behind: `sluice up` dies with this one, whatever ends it.
"""

import asyncio
import os
import re
import secrets
import signal
import sys
from pathlib import Path

from tests.stripe_standin import state
from tests.stripe_standin.standin import StandIn

_PORT = 8490
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SAVE_S = 2.0
_DOOR = re.compile(r"^\s*front door\s+(http\S+)")
_KEY = re.compile(r"^\s*trial key\s+(\S+)")
_LAST = "Ctrl-C stops everything."


def main() -> int:
    """Run both until a signal, or until `sluice up` has ended; its exit code."""
    return asyncio.run(_run())


async def _run() -> int:
    folder = Path(os.environ.get("SLUICE_DATA_DIR", ".sluice"))
    file = folder / "stripe-standin.json"
    standin = await _standin(file)
    environment = {
        **os.environ,
        "SLUICE_STRIPE_API_BASE": standin.base_url,
        "SLUICE_STRIPE_SECRET_KEY": standin.secret_key,
        "SLUICE_STRIPE_WEBHOOK_SECRET": standin.webhook_secret,
        "PYTHONUNBUFFERED": "1",
    }
    # A session of its own: a Ctrl-C reaches it once, through us; a second one does not wait.
    child = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "gateway", "up"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    for number in _PASSED_ON:
        asyncio.get_running_loop().add_signal_handler(number, _pass_on, child, number)
    saving = asyncio.create_task(_save_often(standin, file))
    try:
        await _tell(child, standin)
        return await child.wait()
    finally:
        saving.cancel()
        await standin.stop()
        _save(standin, file)


async def _standin(file: Path) -> StandIn:
    standin = StandIn(webhook_secret=f"whsec_{secrets.token_hex(16)}")
    before = state.load(standin.desk.world, file)
    for port in (before or _PORT, 0):
        standin.port = port
        try:
            await standin.start()
            break
        except OSError:
            # Another one runs there: addresses that were given out before lead to that one.
            await standin.stop()
    return standin


def _pass_on(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if child.returncode is None:
        child.send_signal(number)


async def _tell(child: asyncio.subprocess.Process, standin: StandIn) -> None:
    assert child.stdout is not None
    door, key = "", "$KEY"
    async for raw in child.stdout:
        line = raw.decode(errors="replace")
        if (found := _DOOR.match(line)) is not None:
            door = found[1]
            standin.webhook_url = f"{door}/v1/billing/webhook"
        if (found := _KEY.match(line)) is not None:
            key = found[1]
        if line.strip() == _LAST:
            _say(welcome(standin.base_url, door, key))
        _say(line)


def welcome(base_url: str, door: str, key: str) -> str:
    """Where the stand-in is, and a command that buys a pack as pasted."""
    return f"""Stripe is a stand-in here; no real money moves:
  hosted pages {base_url}/c/pay/...   (as POST /v1/billing/checkout answers)
  control page {base_url}/_control   (refunds, disputes, webhooks, outages)
Buys a pack (the url opens in a browser, too):
  curl -sS -o /dev/null -w '%{{http_code}} %{{redirect_url}}\\n' -d email=ada@example.com \\
    "$(curl -sS -H "Authorization: Bearer {key}" -H 'Content-Type: application/json' \\
    -d '{{"pack": "small", "currency": "usd"}}' '{door}/v1/billing/checkout' \\
    | sed -E 's/.*"url": ?"([^"]+)".*/\\1/')"

"""


async def _save_often(standin: StandIn, file: Path) -> None:
    told = -1
    while True:
        await asyncio.sleep(_SAVE_S)
        now = len(standin.desk.world.kinds)
        if now != told:
            _save(standin, file)
            told = now


def _save(standin: StandIn, file: Path) -> None:
    # The folder is made by `sluice up`, with its own permissions; without it nothing was sold.
    if file.parent.is_dir():
        state.save(standin.desk.world, file)


def _say(words: str) -> None:
    sys.stdout.write(words)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
