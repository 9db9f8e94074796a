"""Keeps the linear algebra of numpy to one core: OpenBLAS's threads spin while they wait.

On cores that others use too, a training took 4.6 s with two threads and 0.3 s with one. It refuses
nothing: where the library is not found or has another name for its knob, all stays as it is.
"""

import ctypes
from pathlib import Path
from typing import Final

MAPS: Final = Path("/proc/self/maps")
KNOBS: Final = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def one_core() -> int:
    """From now on numpy uses one core in this process; how many libraries were told so."""
    try:
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    loaded = {line.partition("/")[2] for line in lines if "openblas" in line}
    return sum(_told("/" + path) for path in loaded)


def _told(path: str) -> bool:
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return False
    for knob in KNOBS:
        if hasattr(library, knob):
            getattr(library, knob)(1)
            return True
    return False
