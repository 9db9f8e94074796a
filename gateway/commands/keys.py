"""`sluice keys` and `sluice reconcile`: the admin API from the command line of the same machine.

Refuses to touch the database itself: a change that went around the operations listener would
reach Redis later than the answer says.
"""

import argparse
import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from gateway.commands.ports import reachable
from gateway.commands.small_http import ask
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP = "mint, find, show, credit, limit and suspend keys of a running gateway"
HELP_RECONCILE = "prove that nothing is lost: run every check of the books"
_PROOF_S = 600.0
_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class _Call:
    """One call: of the front door if `public`, else of the operations listener."""

    method: str
    path: str
    document: object = None
    public: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One more word: what to do."""
    choose = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    choose.add_parser("mint", help="a fresh trial key; it is shown this once")
    find = choose.add_parser("find", help="keys by id, owner or last characters")
    find.add_argument("query")
    show = choose.add_parser("show", help="one key: balance, tier, status, limits")
    credit = choose.add_parser("credit", help="add tokens, once per reference")
    status = choose.add_parser("status", help="suspend a key, or make it active again")
    limits = choose.add_parser("limits", help="limits of this key alone")
    for action in (show, credit, status, limits):
        action.add_argument("key_id", metavar="KEY_ID")
    credit.add_argument("tokens", type=int)
    credit.add_argument("ref", help="your reference; the same one again changes nothing")
    credit.add_argument("--bucket", choices=("paid", "trial"), default="paid")
    status.add_argument("status", choices=("active", "suspended"))
    limits.add_argument("limits", help='such as {"embeddings": {"rpm": 10}}; null resets all')


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the answer as JSON; 0 if it is a success, else 1."""
    status, document = asyncio.run(_send(settings, _call(arguments), _ANSWER_S))
    return _told(status, document)


def no_arguments(_: argparse.ArgumentParser) -> None:
    """`reconcile` has none."""


def execute_reconcile(settings: Settings, _: argparse.Namespace) -> int:
    """One line per check; 0 if no check found a difference, else 1."""
    status, document = asyncio.run(_send(settings, _Call("GET", "/admin/reconcile"), _PROOF_S))
    if status != 200:
        return _told(status, document)
    for check in document["checks"]:
        found = check["differences"]
        say(f"{'WRONG' if found else 'ok   '}  {check['name']}: {found} differences")
    return 0 if document["ok"] else 1


def _call(arguments: argparse.Namespace) -> _Call:
    if arguments.action == "mint":
        return _Call("POST", "/v1/keys", public=True)
    if arguments.action == "find":
        return _Call("GET", f"/admin/keys?query={quote(arguments.query, safe='')}")
    path = f"/admin/keys/{quote(arguments.key_id, safe='')}"
    if arguments.action == "show":
        return _Call("GET", path)
    if arguments.action == "status":
        return _Call("PUT", f"{path}/status", {"status": arguments.status})
    if arguments.action == "limits":
        return _Call("PUT", f"{path}/limits", _json(arguments.limits))
    given = {"tokens": arguments.tokens, "bucket": arguments.bucket, "ref": arguments.ref}
    return _Call("POST", f"{path}/credit", given)


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise ConfigurationFault([f"the limits are no JSON: {error}"]) from error


async def _send(settings: Settings, call: _Call, deadline_s: float) -> tuple[int, Any]:
    bind, port = settings.ops_bind, settings.ops_port
    headers = {}
    if call.public:
        bind, port = settings.bind, settings.port
    else:
        headers["Authorization"] = f"Bearer {_admin_token(settings)}"
    host = reachable(bind)
    bare = call.public or call.method == "GET"
    body = b"" if bare else orjson.dumps(call.document)
    try:
        reply = await ask(
            host, port, call.method, call.path, headers=headers, body=body, deadline_s=deadline_s
        )
        return reply.status, orjson.loads(reply.body)
    except (OSError, ValueError) as error:
        text = f"nothing sensible answers on {host} port {port} ({error}): is it running?"
        raise ConfigurationFault([text]) from error


def _admin_token(settings: Settings) -> str:
    if settings.admin_token is not None:
        return settings.admin_token
    path = settings.data_dir / "admin-token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        text = f"{path} cannot be read ({error.strerror}): set SLUICE_ADMIN_TOKEN"
        raise ConfigurationFault([text]) from error


def _told(status: int, document: Any) -> int:
    if status < 300:
        say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 0
    detail = document.get("detail") if isinstance(document, dict) else None
    complain(f"{status}: {detail or orjson.dumps(document).decode()}")
    return 1
