"""Whatever the product's scripts are asked is noted, so that the watcher knows what was meant."""

from collections.abc import Callable
from typing import Any

from gateway.admission.scripts import Scripts


class Noted:
    """A script of the tombstones; what is made of it is known."""

    def __init__(self, script: Any, watcher: Any, kind: str) -> None:
        self._script = script
        self._watcher = watcher
        self._kind = kind

    def call(self, keys: Any, words: Any) -> bytes:
        command: bytes = self._script.call(keys, words)
        key_id = int(keys[0].rpartition(":")[2])
        self._watcher._made[command] = (self._kind, key_id, words[0])
        return command


def watched_scripts() -> dict[str, Callable[..., bytes]]:
    """Methods of Scripts that also tell the watcher of their run what they have made."""

    def wrapped(kind: str, made: Callable[..., bytes]) -> Callable[..., bytes]:
        def make(self: Scripts, *asked: Any) -> bytes:
            command = made(self, *asked)
            watcher = getattr(self, "watcher", None)
            if watcher is not None:
                kept = asked[:2] if kind == "admit" else asked
                kept = asked[:2] if kind == "reassert" else kept
                watcher._made[command] = (kind, *kept)
            return command

        return make

    kinds = ("admit", "settle", "correct", "extend", "reassert")
    return {kind: wrapped(kind, getattr(Scripts, kind)) for kind in kinds}
