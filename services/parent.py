"""The tie between a process and its parent: what a killed parent leaves behind is nothing.

It refuses to outlive: the kernel kills this process with SIGKILL, which nothing can delay.
"""

import ctypes
import os
import signal
from typing import Final

PR_SET_PDEATHSIG: Final = 1


def die_with_parent(parent_pid: int | None = None) -> None:
    """Asks the kernel to kill this process when its parent dies.

    With `parent_pid` it also ends at once if that parent died before the kernel was asked.
    Must be called by the main thread: the wish belongs to the child of the thread that forked it.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent_pid is not None and os.getppid() != parent_pid:
        raise SystemExit(0)
