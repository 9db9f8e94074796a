"""The command `sluice`: picks the subcommand, reads the settings, hands over.

Refuses to start with a wrong setting: all mistakes are listed, each with its name (exit code 2).
"""

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gateway.commands import (
    backup,
    doctor,
    index,
    keys,
    limits,
    migrate,
    secret_steps,
    serve,
    simulate_limits,
    top,
    up,
    usage,
    verify_export,
    worker,
)
from gateway.commands.file_limit import raise_file_limit
from gateway.commands.terminal import complain, say
from gateway.errors import ConfigurationFault, Fault
from gateway.settings import Settings, load_settings, process_environment

Execute = Callable[[Mapping[str, str], argparse.Namespace], int]


@dataclass(frozen=True, slots=True)
class Command:
    """One subcommand: its help line, its arguments, and what it does; answers the exit code."""

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Execute


def commands() -> dict[str, Command]:
    """Every subcommand by name, in the order of the help."""
    return {
        "up": Command(up.HELP, up.add_arguments, _with_settings(up.execute)),
        "serve": Command(serve.HELP, serve.add_arguments, _with_settings(serve.execute)),
        "worker": Command(worker.HELP, worker.add_arguments, _with_settings(worker.execute)),
        "migrate": Command(
            "bring the database in SLUICE_DATABASE_URL to the schema of this version",
            _phase,
            _with_settings(_migrate),
        ),
        "keys": Command(keys.HELP, keys.add_arguments, _with_settings(keys.execute)),
        "reconcile": Command(
            keys.HELP_RECONCILE, keys.no_arguments, _with_settings(keys.execute_reconcile)
        ),
        "limits": Command(limits.HELP, limits.add_arguments, _with_settings(limits.execute)),
        "simulate-limits": Command(
            simulate_limits.HELP,
            simulate_limits.add_arguments,
            _with_settings(simulate_limits.execute),
        ),
        "usage": Command(usage.HELP, usage.add_arguments, _with_settings(usage.execute)),
        "verify-export": Command(
            verify_export.HELP, verify_export.add_arguments, _with_settings(verify_export.execute)
        ),
        "index": Command(index.HELP, index.add_arguments, _with_settings(index.execute)),
        "top": Command(top.HELP, top.add_arguments, _with_settings(top.execute)),
        "secrets": Command(
            secret_steps.HELP, secret_steps.add_arguments, _with_settings(secret_steps.execute)
        ),
        "backup": Command(
            backup.HELP_BACKUP,
            backup.add_backup_arguments,
            _with_settings(backup.execute_backup),
        ),
        "restore": Command(
            backup.HELP_RESTORE,
            backup.add_restore_arguments,
            _with_settings(backup.execute_restore),
        ),
        "doctor": Command(doctor.HELP, doctor.add_arguments, doctor.execute),
    }


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code (0 done, 1 failed, 2 cannot be started like this)."""
    known = commands()
    arguments = _parser(known).parse_args(words)
    raise_file_limit()
    try:
        return known[arguments.command].execute(process_environment(), arguments)
    except ConfigurationFault as fault:
        for mistake in fault.mistakes:
            complain(mistake)
        return 2
    except Fault as fault:
        complain(str(fault))
        return 1


def _parser(known: Mapping[str, Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sluice",
        description="The front door of an AI search platform: admits, forwards, meters, charges.",
    )
    choose = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in known.items():
        command.add_arguments(
            choose.add_parser(name, help=command.help, description=f"{command.help}.")
        )
    return parser


def _with_settings(execute: Callable[[Settings, argparse.Namespace], int]) -> Execute:
    return lambda environ, arguments: execute(load_settings(environ), arguments)


def _phase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--phase",
        choices=migrate.PHASES,
        default="all",
        help="pre: what must come before a deploy; post: what must wait until after it",
    )


def _migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    for line in asyncio.run(migrate.run(settings, phase=arguments.phase)):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
