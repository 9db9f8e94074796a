"""Which certificate authorities the reader believes: the machine's, else the ones of the wheel.

It refuses to switch verification off.
"""

import ssl
from pathlib import Path

import certifi


def context() -> ssl.SSLContext:
    """A verifying client context; a bare machine may have no authorities of its own."""
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    if paths.cafile or (folder is not None and any(folder.iterdir())):
        return ssl.create_default_context()
    return ssl.create_default_context(cafile=certifi.where())
