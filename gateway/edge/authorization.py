"""Takes the key out of the Authorization header, as each host's clients send it.

Refuses to know whether a key exists: `keys` does. Nothing here is ever logged.
"""

from gateway.edge.refusals import authorization_format
from gateway.errors import Problem
from gateway.products.product import Family


def extract_key(header: str | None, family: Family) -> str | Problem | None:
    """The key as it was sent, None if there is none, or why the header cannot be read.

    Wire contract 0.2: r. and s. take the second word, or the whole header if it is one word, and
    an empty one is an absent one; api. and deepsearch. demand the scheme Bearer.
    """
    if not header:
        return None
    words = header.split()
    if not words:
        return None
    if words[0].lower() == "bearer":
        if len(words) == 2:
            return words[1]
        # `Bearer $KEY` with an unset variable: no key on the hosts that work without one.
        return None if len(words) == 1 and family is Family.READER else authorization_format()
    if family is Family.READER and len(words) <= 2:
        return words[-1]
    return authorization_format()
