"""Whether a JSON value is as a client's schema says, found out in a process of its own.

A schema may have patterns and references that take for ever; the process is killed after a moment
and the value counts as not valid. It refuses to fetch anything. `python -m` runs the check itself.
"""

import asyncio
import resource
import sys
from collections.abc import Mapping
from typing import Any, Final

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

# The bound is that of its CPU; by the clock a busy machine would decide.
WITHIN_S: Final = 15.0
CPU_S: Final = 2
MEMORY_BYTES: Final = 512 * 1024 * 1024
SAID_CHARACTERS: Final = 300


async def why_not(document: Mapping[str, Any], value: Any) -> str | None:
    """What of `value` is not as the schema says, or None where all of it is."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        __name__,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            said, _ = await child.communicate(orjson.dumps([document, value]))
    except TimeoutError:
        return "checking it by the schema takes too long"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        return "checking it by the schema takes too long"
    found = orjson.loads(said)
    return found if isinstance(found, str) else None


def mistake(document: Mapping[str, Any], value: Any) -> str | None:
    """The first mistake with its place, found here and now."""
    kind = validator_for(document, default=Draft202012Validator)
    try:
        # An empty registry: nothing is ever fetched.
        fault = next(iter(kind(document, registry=Registry()).iter_errors(value)), None)
    except (ValidationError, Unresolvable, RecursionError, ValueError) as broken:
        return str(broken)[:SAID_CHARACTERS] or type(broken).__name__
    if fault is None:
        return None
    place = "/".join(map(str, fault.absolute_path)) or "the answer"
    return f"{place}: {fault.message}"[:SAID_CHARACTERS]


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    document, value = orjson.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(orjson.dumps(mistake(document, value)))


if __name__ == "__main__":
    _main()
