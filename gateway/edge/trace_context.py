"""W3C trace context of a client: checked, then passed on to the service as it came.

Refuses whatever is not valid: such a request has no context, as the recommendation wants it.
"""

import re
from typing import Final

from multidict import CIMultiDictProxy

PARENT: Final = "traceparent"
STATE: Final = "tracestate"
_PARENT_FORM: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?"
)
_KEY: Final = r"[a-z0-9][a-z0-9_*/-]{0,240}(?:@[a-z][a-z0-9_*/-]{0,13})?"
_VALUE: Final = r"[ !-+\--<>-~]{0,255}[!-+\--<>-~]"
_MEMBER: Final = re.compile(rf"{_KEY}={_VALUE}")
_MOST_MEMBERS: Final = 32
# What everybody must pass on; longer ones we may drop, and do.
_MOST_CHARACTERS: Final = 512


def trace_parent(headers: CIMultiDictProxy[str]) -> str:
    """The client's traceparent; empty if it has none, several, or one that is not valid."""
    given = headers.getall(PARENT, [])
    found = _PARENT_FORM.fullmatch(given[0]) if len(given) == 1 else None
    # Only versions that are not known yet may have more fields; they are opaque to us.
    if found is None or (found[1] == "00" and found[2] is not None):
        return ""
    return given[0] if len(given[0]) <= _MOST_CHARACTERS else ""


def trace_state(headers: CIMultiDictProxy[str]) -> str:
    """The client's tracestate, several lines as one; empty if any of it is not valid."""
    text = ",".join(headers.getall(STATE, []))
    if not text or len(text) > _MOST_CHARACTERS:
        return ""
    members = [each.strip(" \t") for each in text.split(",")]
    members = [each for each in members if each]
    names = {each.partition("=")[0] for each in members}
    whole = all(_MEMBER.fullmatch(each) for each in members)
    return ",".join(members) if whole and len(names) == len(members) <= _MOST_MEMBERS else ""


def trace_lines(headers: CIMultiDictProxy[str]) -> bytes:
    """The header lines for the service."""
    parent = trace_parent(headers)
    if not parent:
        return b""
    state = trace_state(headers)
    lines = f"{PARENT}: {parent}\r\n" + (f"{STATE}: {state}\r\n" if state else "")
    return lines.encode("ascii")
