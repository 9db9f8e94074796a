"""Open files: the soft limit of 1,024 that shells give is less than one gateway's connections."""

import contextlib
import resource

# More is of no use to us, and some programs walk over every possible number.
_MOST = 65_536


def raise_file_limit() -> None:
    """As many open files as the hard limit grants, for us and whom we start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
