"""Every key of every command that a script is called with is in the slot that it is sent to."""

import re
from pathlib import Path

from gateway.admission.scripts import Scripts, tag_of
from gateway.redis_link import RedisLink, slot_of
from tests.admission.asking import Asker, hold_of, limits, row, settlement

LUA = Path(__file__).resolve().parents[2] / "gateway" / "admission"
SUBJECTS = [*(f"k:{2**63 - 1 - 7 * n}" for n in range(300)), "a:198.51.100.7", "a:2001:db8::/64"]
PRODUCTS = ("embeddings", "reader")
# What stands where a key stands: a declared key, or the argument of a function that is given one.
_KEY = re.compile(r"redis\.call\(\s*'(\w+)',\s*([\w\[\]]+)")


def keys_of(command: bytes) -> list[str]:
    """The keys of an EVALSHA as Redis reads them."""
    words = command.split(b"\r\n")[2::2]
    assert words[0] == b"EVALSHA"
    return [key.decode() for key in words[3 : 3 + int(words[2])]]


def commands(scripts: Scripts, subject: str) -> list[bytes]:
    """One of each kind for this subject."""
    tag, found = tag_of(subject), []
    for product in PRODUCTS:
        asker = Asker(subject, product, limits(rpm=5, tpm=50))
        ask, told = asker.ask(3, 4), [settlement(asker.ask(3, 4)) for _ in range(3)]
        hold = hold_of(ask, 9)
        found += [
            scripts.admit(ask, (), 0),
            scripts.admit(ask, told, 0),
            scripts.judge(ask, 0),
            scripts.extend(tag, subject, ask.request_id, 9),
            scripts.settle(tag, subject, told, row(1)),
            scripts.settle(tag, subject, (), None),
            scripts.correct(tag, subject, told),
            scripts.reassert(tag, hold, 0),
            scripts.orphan(tag, subject, ask.request_id, "gw k:1 x"),
        ]
    wide = limits()
    return [*found, scripts.peek(tag, subject, [(name, wide, wide) for name in PRODUCTS], 0)]


async def test_no_command_of_admission_crosses_a_slot() -> None:
    scripts = Scripts(RedisLink("redis://127.0.0.1:1"))
    for subject in SUBJECTS:
        slot = slot_of(tag_of(subject))
        for command in commands(scripts, subject):
            keys = keys_of(command)
            assert keys
            assert {slot_of(key) for key in keys} == {slot}


def test_no_script_makes_up_the_name_of_a_key() -> None:
    calls = 0
    for path in LUA.glob("*.lua"):
        for command, key in _KEY.findall(path.read_text(encoding="utf-8")):
            calls += 1
            assert re.fullmatch(r"KEYS\[\d+\]|key|holds", key), f"{path.name}: {command} {key}"
    assert calls > 40
