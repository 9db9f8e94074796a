"""A private, real Redis that is asked synchronously, made to live in virtual time.

The scripts are the product's, to the letter: they get the clock as an argument (CLOCK in a command
is replaced by the time of its arrival). What the server itself knows of time and of its process
(TIME, expiry, INFO, which scripts it has) is told here, so that a run needs milliseconds.
"""

import hashlib
import socket
from typing import Any

import hiredis

from gateway.redis_link import encode

# What the gate is told for a clock: 16 digits, as the microseconds that replace them have.
CLOCK_US = 1_111_111_111_111_111
_CLOCK = b"%d" % CLOCK_US
# Nothing but a window's idle rest is late by it: the scripts know what has died.
_AGE_EVERY_MS = 10_000
_BEAT = b"{s000}beat:"

# KEYS of the run with what the product has set as their lives since, in virtual time.
_AGE = """
local now, lives = tonumber(ARGV[1]), {}
for i = 2, #ARGV, 2 do lives[ARGV[i]] = tonumber(ARGV[i + 1]) end
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  local ends = lives[key]
  if left >= 0 then
    redis.call('PERSIST', key)
    ends = now + math.ceil(left / 250) * 250
  end
  if ends and ends <= now then
    redis.call('DEL', key)
  elseif ends then
    out[#out + 1] = key
    out[#out + 1] = string.format('%.0f', ends)
  end
end
return out
"""
# All there is of a kind of hash: key, its fields and values, ...
_DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  out[#out + 1] = key
  out[#out + 1] = redis.call('HGETALL', key)
end
return out
"""
_SAVE = """
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  redis.call('PERSIST', key)
  out[#out + 1] = key
  out[#out + 1] = redis.call('DUMP', key)
end
return out
"""


class Talk:
    """A socket to the server; one command or several at a time, answered at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self.age = self.call("SCRIPT", "LOAD", _AGE)
        self.save = self.call("SCRIPT", "LOAD", _SAVE)
        self._dump = self.call("SCRIPT", "LOAD", _DUMP)
        # The name of each script that the server really has.
        self.loaded: dict[bytes, bytes] = {}

    def close(self) -> None:
        self._socket.close()

    def call(self, *words: Any) -> Any:
        return self.raw(encode(*words), 1)[1][0]

    def hashes(self, pattern: str) -> dict[str, dict[str, str]]:
        """All hashes whose key has this form, by what stands behind its last `}x:`."""
        flat = self.call("EVALSHA", self._dump, 0, pattern)
        found = {}
        for key, words in zip(flat[::2], flat[1::2], strict=True):
            texts = [word.decode() for word in words]
            found[key.decode()] = dict(zip(texts[::2], texts[1::2], strict=True))
        return found

    def raw(self, data: bytes, count: int) -> tuple[bytes, list[Any]]:
        """The bytes of so many replies, and the replies."""
        self._socket.sendall(data)
        reader = hiredis.Reader()
        replies: list[Any] = []
        got: list[bytes] = []
        while len(replies) < count:
            piece = self._socket.recv(1 << 16)
            assert piece, "the private Redis has gone"
            got.append(piece)
            reader.feed(piece)
            while (reply := reader.gets()) is not False:
                replies.append(reply)
        return b"".join(got), replies


class Store:
    """What the server of this run knows; one process of it after the other."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.incarnation = 0
        self._scripts: set[bytes] = set()
        self._lives: dict[bytes, int] = {}
        self._aged_ms = 0
        self._beats: dict[bytes, int] = {}
        self._snapshot: list[bytes] = []
        self._snapshot_lives: dict[bytes, int] = {}
        talk.call("FLUSHALL")
        self._born()

    def _born(self) -> None:
        self.incarnation += 1
        self._scripts.clear()
        self._run_id = hashlib.sha1(b"%d" % self.incarnation).hexdigest().encode()

    def save(self, now_us: int) -> None:
        """A snapshot, from which a later process may begin."""
        self._age(now_us // 1_000)
        self._snapshot = self.talk.call("EVALSHA", self.talk.save, 0)
        self._snapshot_lives = dict(self._lives)

    def restart(self, *, old: bool) -> None:
        """Another process: with nothing, or with what the last snapshot had."""
        self.talk.call("FLUSHALL")
        self._lives = {}
        self._beats.clear()
        if old:
            for place in range(0, len(self._snapshot), 2):
                key, dump = self._snapshot[place : place + 2]
                self.talk.call("RESTORE", key, 0, dump)
            self._lives = dict(self._snapshot_lives)
        self._born()

    def execute(self, commands: list[bytes], now_us: int) -> tuple[bytes, list[Any]]:
        """Work off commands in order, at this time."""
        if now_us // 1_000 - self._aged_ms >= _AGE_EVERY_MS:
            self._age(now_us // 1_000)
        raw: list[bytes] = []
        replies: list[Any] = []
        waiting: list[bytes] = []
        clock = b"%d" % now_us
        for command in commands:
            told = self._told(command, now_us)
            if told is None:
                waiting.append(command.replace(_CLOCK, clock))
                continue
            if waiting:
                self._send(waiting, raw, replies)
                waiting = []
            raw.append(told)
            replies.append(None)
        if waiting:
            self._send(waiting, raw, replies)
        return b"".join(raw), replies

    def _send(self, waiting: list[bytes], raw: list[bytes], replies: list[Any]) -> None:
        data, found = self.talk.raw(b"".join(waiting), len(waiting))
        raw.append(data)
        replies += found

    def _told(self, command: bytes, now_us: int) -> bytes | None:
        """What is told here, as the real server would have to know the virtual time for it."""
        head = command[:40]
        if b"EVALSHA" in head:
            sha = command[command.index(b"$40\r\n") + 5 :][:40]
            return None if sha in self._scripts else b"-NOSCRIPT No matching script.\r\n"
        if b"SCRIPT" in head:
            return self._script(command)
        if b"$4\r\nINFO" in head:
            text = b"role:master\r\ncluster_enabled:0\r\nrun_id:%b\r\n" % self._run_id
            return b"$%d\r\n%b\r\n" % (len(text), text)
        if _BEAT in command:
            return self._beat(command, now_us // 1_000)
        if b"$4\r\nTIME" in head:
            seconds, us = b"%d" % (now_us // 1_000_000), b"%d" % (now_us % 1_000_000)
            parts = (len(seconds), seconds, len(us), us)
            return b"*2\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % parts
        return None

    def _script(self, command: bytes) -> bytes:
        words = _words(command)
        if words[1] == b"EXISTS":
            return b"*1\r\n:%d\r\n" % (words[2] in self._scripts)
        sha = self.talk.loaded.get(words[2])
        if sha is None:
            sha = self.talk.loaded[words[2]] = self.talk.raw(command, 1)[1][0]
        self._scripts.add(sha)
        return b"$40\r\n%b\r\n" % sha

    def _beat(self, command: bytes, now_ms: int) -> bytes:
        """A key that only tells that somebody lives: SET with PX and GET, or EXISTS."""
        words = _words(command)
        known = self._beats.get(words[1], 0) > now_ms
        if words[0] == b"EXISTS":
            return b":%d\r\n" % known
        assert words[0] == b"SET", words
        self._beats[words[1]] = now_ms + int(words[4])
        return b"$1\r\n1\r\n" if known else b"$-1\r\n"

    def _age(self, now_ms: int) -> None:
        self._aged_ms = now_ms
        known = [word for pair in self._lives.items() for word in pair]
        flat = self.talk.call("EVALSHA", self.talk.age, 0, now_ms, *known)
        self._lives = {flat[n]: int(flat[n + 1]) for n in range(0, len(flat), 2)}


def split(data: bytes) -> list[bytes]:
    """The commands of one write, each as its bytes."""
    found, at = [], 0
    while at < len(data):
        start, end = at, data.index(b"\r\n", at)
        count, at = int(data[at + 1 : end]), end + 2
        for _ in range(count):
            end = data.index(b"\r\n", at)
            at = end + 4 + int(data[at + 1 : end])
        found.append(data[start:at])
    return found


def _words(command: bytes) -> list[bytes]:
    reader = hiredis.Reader()
    reader.feed(command)
    words: list[bytes] = reader.gets()
    return words
