"""MONITOR of one Redis: every command with keys, and whether its keys share a slot.

Refuses to guess: a command that is not in the table is counted as if it had a key without a tag.
"""

import asyncio
import re
from collections import Counter
from contextlib import suppress

from gateway.redis_link import slot_of
from ops.nodes.net import Place
from ops.nodes.shards import PORT

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
# Commands of servers and of people, without keys of ours.
_KEYLESS = {
    *("info", "ping", "cluster", "replconf", "psync", "script", "monitor", "auth", "select"),
    *("hello", "client", "time", "keys", "scan", "command", "role", "config", "asking", "readonly"),
}
_ONE_KEY = {"set", "get", "exists", "zrange", "hget", "hgetall", "unlink", "del", "hmget", "pttl"}


class Monitor:
    """What one server was asked by clients, not by its own scripts."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.commands: Counter[str] = Counter()
        self.crossing: list[str] = []
        self.untagged: list[str] = []

    async def watch(self) -> None:
        """Until cancelled."""
        reader, writer = await asyncio.open_connection(self._place.ip, PORT, limit=2**24)
        try:
            writer.write(b"*1\r\n$7\r\nMONITOR\r\n")
            with suppress(ConnectionError, EOFError):
                while line := await reader.readline():
                    self._look(line)
        finally:
            writer.close()

    def _look(self, line: bytes) -> None:
        # `1700000000.1 [0 10.77.1.2:4242] "EVALSHA" ...`; what a script does itself has `lua]`.
        if b" lua] " in line or b'"' not in line:
            return
        words = [word.decode("latin-1") for word in _WORD.findall(line)]
        name = words[0].lower()
        if name in _KEYLESS:
            return
        if name == "evalsha":
            keys = words[3 : 3 + int(words[2])]
        elif name in _ONE_KEY:
            keys = words[1:2]
        else:
            keys = words
        self.commands[name] += 1
        if len({slot_of(key) for key in keys}) != 1:
            self.crossing.append(" ".join(words[:10]))
        if not all(key.startswith("{s") for key in keys):
            self.untagged.append(" ".join(words[:10]))
