"""`sluice secrets`: one secret replaces another in three steps, and at no moment is one refused.

1. begin    a new one is made, known everywhere, used nowhere:  old,new
2. switch   the new one is used, the old one still accepted:    new,old
3. finish   the old one is forgotten:                           new

Between two steps every process must have read the file again (SIGHUP to `sluice serve`, a restart
of what else reads it). Refuses to show a secret, and to forget a pepper under which keys were made.
"""

import argparse
import os
import secrets
from pathlib import Path
from typing import Final

from gateway.commands.terminal import say
from gateway.errors import ConfigurationFault
from gateway.settings import Settings

HELP: Final = "replace the internal secret or the pepper of the keys without a pause"
_NAMES: Final = ("internal-secret", "key-pepper")
_STEPS: Final = ("show", "begin", "switch", "finish")
_BYTES: Final = 32
_TEXT: Final = """\
steps, each followed by a restart of all that reads the file (`kill -HUP` of `sluice serve`; the
services and the worker one after another):
  sluice secrets begin internal-secret     known everywhere, used nowhere
  sluice secrets switch internal-secret    used; the old one is still accepted
  sluice secrets finish internal-secret    the old one is forgotten

key-pepper: the same steps. Keys made before the switch are found under the old pepper for as long
as it stays in the file; `finish --forget-keys` makes them unknown. Web sessions end at the switch.
Where SLUICE_INTERNAL_SECRET or SLUICE_KEY_PEPPER is set, write the same lists there instead.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A step and a name."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _TEXT
    parser.add_argument("step", choices=_STEPS, help="show: how many there are, and the next step")
    parser.add_argument("name", choices=_NAMES)
    parser.add_argument(
        "--forget-keys",
        action="store_true",
        help="with finish key-pepper: every key made before the switch becomes unknown",
    )


def execute(settings: Settings, arguments: argparse.Namespace) -> int:
    """Change the file in one rename; 0. Raises ConfigurationFault where the step does not fit."""
    name, step = arguments.name, arguments.step
    set_to = settings.key_pepper if name == "key-pepper" else settings.internal_secret
    if set_to is not None:
        variable = "SLUICE_" + name.upper().replace("-", "_")
        raise ConfigurationFault([f"{variable} is set: it replaces the file; rotate it there"])
    path = settings.data_dir / name
    known = _read(path)
    if step == "show":
        say(_state(name, known))
        return 0
    if step == "finish" and name == "key-pepper" and not arguments.forget_keys:
        text = "keys made before the switch are found by the old pepper: keep it, or --forget-keys"
        raise ConfigurationFault([text])
    _write(path, _after(step, known))
    say(_state(name, _read(path)))
    return 0


def _after(step: str, known: list[str]) -> list[str]:
    if step == "begin":
        return [*known, secrets.token_urlsafe(_BYTES)]
    if len(known) < 2:
        raise ConfigurationFault(
            [f"there is one secret only: nothing to {step}; begin comes first"]
        )
    # The newest is the last one after `begin` and the first one after `switch`.
    return [known[-1], *known[:-1]] if step == "switch" else known[:1]


def _read(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").strip().split(",")
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}; it is made at the first start"
        raise ConfigurationFault([text]) from error


def _write(path: Path, values: list[str]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(",".join(values) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _state(name: str, known: list[str]) -> str:
    if len(known) == 1:
        return f"{name}: one secret"
    return f"{name}: {len(known)} secrets; the first is in use, the others are accepted"
