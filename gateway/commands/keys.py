"""`sluice keys` and `sluice reconcile`: the admin API from the command line of the same machine.

Refuses to touch the database itself: a change that went around the operations listener would
reach Redis later than the answer says. Refuses to revoke: that is the owner's.
"""

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from gateway.commands.keys_shown import table_of_keys, words_of_key
from gateway.commands.ports import reachable
from gateway.commands.small_http import ask, unanswered
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP = "mint, find, show, credit, limit and suspend keys of a running gateway"
HELP_RECONCILE = "prove that nothing is lost: run every check of the books"
_PROOF_S = 600.0
_ANSWER_S = 30.0
_EXAMPLES = """\
examples:
  sluice keys mint --owner "Ada Lovelace"
  sluice keys find ada
  sluice keys credit key_3rXk0000abc 5000000 invoice-2026-117
  sluice keys limits key_3rXk0000abc embeddings --rpm 10 --tpm 2000
  sluice keys limits key_3rXk0000abc --reset
  sluice keys show key_3rXk0000abc --json

Talks to the operations listener at SLUICE_OPS_BIND and SLUICE_OPS_PORT with SLUICE_ADMIN_TOKEN
(or the token in the file admin-token of SLUICE_DATA_DIR). A key is shown once, when it is minted.
Only its owner can revoke it: DELETE /v1/keys/me.
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the operations listener."""

    method: str
    path: str
    document: object = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One more word: what to do."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    choose = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, *, of_one_key: bool = True) -> argparse.ArgumentParser:
        made = choose.add_parser(name, help=text, description=f"{text}.")
        if of_one_key:
            made.add_argument("key_id", metavar="KEY_ID", help="such as key_3rXk0000abc")
        made.add_argument("--json", action="store_true", help="print the answer as JSON")
        return made

    mint = action("mint", "a fresh key, not limited per address", of_one_key=False)
    mint.add_argument("--owner", default="", help="whose it is, to find it by")
    mint.add_argument("--trial-tokens", type=int, metavar="N", help="instead of the usual grant")
    find = action("find", "keys by id, owner or last characters", of_one_key=False)
    find.add_argument("query", help="an id, the beginning of an owner, or 4 last characters")
    action("show", "one key: balance, tier, status, limits")
    credit = action("credit", "add tokens, once per reference; paid ones make it premium")
    credit.add_argument("tokens", type=int, help="how many")
    credit.add_argument("ref", help="your reference; the same one again changes nothing")
    credit.add_argument("--bucket", choices=("paid", "trial"), default="paid")
    _add_limits(action("limits", "limits of this key alone, in force at once"))
    action("suspend", "let it in nowhere until it is active again")
    action("activate", "let it in again")
    owner = action("owner", "note whose it is, to find it by")
    owner.add_argument("owner", help='"" for nobody\'s')


def _add_limits(limits: argparse.ArgumentParser) -> None:
    limits.add_argument(
        "product", nargs="?", help="such as embeddings; what is not named below is its tier's"
    )
    for name, text in (
        ("rpm", "requests in any 60 s"),
        ("tpm", "tokens in any 60 s"),
        ("concurrency", "requests at once"),
    ):
        limits.add_argument(f"--{name}", type=int, metavar="N", help=text)
    limits.add_argument(
        "--reset", action="store_true", help="back to the tier's, for the product or for all"
    )


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the answer; 0 if it is a success, else 1."""
    call = _call(arguments)
    status, document = asyncio.run(send(settings, call, _ANSWER_S))
    if status >= 300:
        return refused(status, document)
    if arguments.json:
        say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    elif arguments.action == "find":
        say(table_of_keys(document["items"]))
    else:
        say(words_of_key(document))
    if status == 202:
        complain(document["note"])
    return 0


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """`reconcile` has no more than this."""
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def execute_reconcile(settings: Settings, arguments: argparse.Namespace) -> int:
    """One line per check; 0 if no check found a difference, else 1."""
    status, document = asyncio.run(send(settings, Call("GET", "/admin/reconcile"), _PROOF_S))
    if status != 200:
        return refused(status, document)
    if arguments.json:
        say(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return 0 if document["ok"] else 1
    for check in document["checks"]:
        found, fault = check["differences"], check.get("fault", "")
        told = f"{found} differences" if not fault else f"not ended: {fault}"
        note = f" ({check['note']})" if "note" in check else ""
        say(f"{'WRONG' if found or fault else 'ok   '}  {check['name']}: {told}{note}")
    if "note" in document:
        say(f"WRONG  {document['note']}")
    say(_verdict(document["checks"], document["ok"]))
    return 0 if document["ok"] else 1


def _verdict(checks: Sequence[Mapping[str, Any]], is_ok: bool) -> str:
    if is_ok:
        return f"ok     nothing is lost: {len(checks)} checks and no difference"
    return "WRONG  ops/runbook.md, Reconciliation found differences, says what to do"


def _call(arguments: argparse.Namespace) -> Call:
    if arguments.action == "mint":
        wanted = {"owner": arguments.owner, "trial_tokens": arguments.trial_tokens}
        return Call("POST", "/admin/keys", wanted)
    if arguments.action == "find":
        return Call("GET", f"/admin/keys?query={quote(arguments.query, safe='')}")
    path = f"/admin/keys/{quote(arguments.key_id, safe='')}"
    calls: dict[str, Callable[[], Call]] = {
        "show": lambda: Call("GET", path),
        "credit": lambda: Call(
            "POST",
            f"{path}/credit",
            {"tokens": arguments.tokens, "bucket": arguments.bucket, "ref": arguments.ref},
        ),
        "limits": lambda: Call("PUT", f"{path}/limits", _limits(arguments)),
        "suspend": lambda: Call("PUT", f"{path}/status", {"status": "suspended"}),
        "activate": lambda: Call("PUT", f"{path}/status", {"status": "active"}),
        "owner": lambda: Call("PUT", f"{path}/owner", {"owner": arguments.owner}),
    }
    return calls[arguments.action]()


def _limits(arguments: argparse.Namespace) -> object:
    named = {
        name: getattr(arguments, name)
        for name in ("rpm", "tpm", "concurrency")
        if getattr(arguments, name) is not None
    }
    if arguments.reset == bool(named):
        text = "either --reset, or at least one of --rpm, --tpm, --concurrency"
        raise ConfigurationFault([f"{text}; `sluice limits show` tells what they are now"])
    if arguments.product is None:
        if named:
            raise ConfigurationFault(["name the product that these limits are for"])
        return None
    return {arguments.product: named or None}


async def send(settings: Settings, call: Call, deadline_s: float = _ANSWER_S) -> tuple[int, Any]:
    """Status and document of one call; raises ConfigurationFault when nobody answers."""
    host, port = reachable(settings.ops_bind), settings.ops_port
    headers = {"Authorization": f"Bearer {admin_token(settings)}"}
    body = b"" if call.method == "GET" else orjson.dumps(call.document)
    try:
        reply = await ask(
            host, port, call.method, call.path, headers=headers, body=body, deadline_s=deadline_s
        )
        return reply.status, orjson.loads(reply.body)
    except (OSError, ValueError) as error:
        raise ConfigurationFault([unanswered(host, port, error)]) from error


def admin_token(settings: Settings) -> str:
    """Of the settings, else of the file that `up` and `serve` made."""
    if settings.admin_token is not None:
        return settings.admin_token
    path = settings.data_dir / "admin-token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        text = f"{path} cannot be read ({error.strerror}): set SLUICE_ADMIN_TOKEN"
        raise ConfigurationFault([text]) from error


def refused(status: int, document: Any) -> int:
    """Tell why; 1."""
    detail = document.get("detail") if isinstance(document, dict) else None
    complain(f"{status}: {detail or orjson.dumps(document).decode()}")
    return 1
