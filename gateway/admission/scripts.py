"""The Lua scripts as Redis gets them, the keys they touch, and their arguments as bytes.

Refuses to decide and to send. Keys of a subject, all behind the hash tag of the subject:

    {s017}h:k:42              its holds, with their sum and how many are open per product
    {s017}b:k:42              the copy of its balance row
    {s017}r:reader:k:42       its window of requests for a product
    {s017}t:embeddings:k:42   its window of tokens for a product
    {s017}d                   deadlines of all holds of the tag: "instance subject request_id"
    {s000}beat:<instance>     the instance has been alive lately
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from gateway.admission.ask import MAX_COPY_TOKENS, TAGS, Ask, Hold, Settlement
from gateway.ledger.rows import BalanceRow
from gateway.products.product import Limits
from gateway.redis_link import RedisLink, Script, crc16, slot_of
from gateway.units import MS_PER_S, WINDOW_US

DEFAULT_BUCKETS: Final = 240
# More than 250 entries and a header no longer fit into the compact encoding of a small hash.
MAX_BUCKETS: Final = 240
# A copy is renewed by every settle; an unused one is loaded again from PostgreSQL.
COPY_LIVES_MS: Final = 7 * 24 * 3_600 * MS_PER_S
OWN_LIMITS: Final = "l:"
OWN_NAMES: Final = ("rpm", "tpm", "concurrency")
# Of a key's own shadow; they follow the others, and only where there is one.
SHADOW_NAMES: Final = ("shadow_rpm", "shadow_tpm", "shadow_concurrency")
NULL: Final = "-"
NOT_NAMED: Final = "."
BEAT_TAG: Final = "{s000}"

_FOLDER = Path(__file__).resolve().parent


def tag_of(subject: str) -> str:
    """The hash tag of a subject: `{s000}` .. `{s255}`."""
    return f"{{s{crc16(subject.encode()) % TAGS:03d}}}"


def tag_slots() -> dict[str, int]:
    """The cluster slot of every tag."""
    return {tag: slot_of(tag) for tag in (f"{{s{n:03d}}}" for n in range(TAGS))}


def holds_key(tag: str, subject: str) -> str:
    """The hash of a subject's holds and their sums."""
    return f"{tag}h:{subject}"


def copy_key(tag: str, subject: str) -> str:
    """The hash with the copy of a key's balance row."""
    return f"{tag}b:{subject}"


def requests_key(tag: str, subject: str, product: str) -> str:
    """The window of requests of one subject and product."""
    return f"{tag}r:{product}:{subject}"


def tokens_key(tag: str, subject: str, product: str) -> str:
    """The window of tokens of one subject and product."""
    return f"{tag}t:{product}:{subject}"


def deadlines_key(tag: str) -> str:
    """The sorted set of all holds of a tag by deadline, for the reaper."""
    return f"{tag}d"


def beat_key(instance: str) -> str:
    """The key that lives as long as an instance beats."""
    return f"{BEAT_TAG}beat:{instance}"


def limit_words(limits: Limits) -> tuple[int, int, int]:
    """rpm, tpm (-1: none), concurrency, as the scripts read them."""
    return limits.rpm, -1 if limits.tpm is None else limits.tpm, limits.concurrency


def keyed_word(ask: Ask) -> str:
    """Whether a key asks; behind it the limits of a shadow, where one of the tiers has one."""
    keyed = str(int(ask.keyed))
    tried = [ask.limits_key.shadow, ask.limits_premium.shadow]
    if tried == [None, None]:
        return keyed
    values = [getattr(each, name, None) for each in tried for name in OWN_NAMES]
    return " ".join([keyed, *(NULL if value is None else str(value) for value in values)])


def copy_words(row: BalanceRow) -> list[str | int]:
    """Field, value, ... of a balance copy, without its version.

    The sum of both balances is clamped to what Lua counts exactly; PostgreSQL has the true one.
    """
    trial = min(row.trial, MAX_COPY_TOKENS)
    paid = min(row.paid, MAX_COPY_TOKENS - trial)
    words: list[str | int] = ["trial", trial, "paid", paid, "status", row.status, "tier", row.tier]
    for product, own in row.limits.items():
        tried = any(name in own for name in SHADOW_NAMES)
        names = OWN_NAMES + SHADOW_NAMES if tried else OWN_NAMES
        words += [f"{OWN_LIMITS}{product}", " ".join(_own_word(own, name) for name in names)]
    return words


def _own_word(own: Mapping[str, int | None], name: str) -> str:
    """One of a key's own limits; null and not named are told apart, for whoever compares copies."""
    if name not in own:
        return NOT_NAMED
    value = own[name]
    return NULL if value is None else str(value)


def _decided_words(each: Settlement) -> str:
    name, tpm = each.request_id, str(-1 if each.actual_tpm is None else each.actual_tpm)
    cost = str(each.cost_tokens)
    return f"${len(name)}\r\n{name}\r\n${len(tpm)}\r\n{tpm}\r\n${len(cost)}\r\n{cost}\r\n"


def _settled_words(each: Settlement) -> str:
    name, tpm = each.request_id, str(-1 if each.actual_tpm is None else each.actual_tpm)
    return f"${len(name)}\r\n{name}\r\n${len(tpm)}\r\n{tpm}\r\n"


def _bulk(word: str | int) -> str:
    text = str(word)
    assert text.isascii(), "lengths are counted in characters here"
    return f"${len(text)}\r\n{text}\r\n"


def _head(script: Script) -> str:
    return f"$7\r\nEVALSHA\r\n$40\r\n{script.sha.decode()}\r\n"


# The windows of those who ask now are named again and again.
@lru_cache(maxsize=10_000)
def _window(tag: str, subject: str, product: str) -> str:
    return _bulk(tokens_key(tag, subject, product))


class Scripts:
    """The scripts of one link. `buckets` is N: admissions closer than 60 s / N share an entry."""

    def __init__(self, link: RedisLink, *, buckets: int = DEFAULT_BUCKETS) -> None:
        assert 1 <= buckets <= MAX_BUCKETS
        self.span_us = WINDOW_US // buckets
        shared = self._read("window") + self._read("shadow") + self._read("limits")
        decide = shared + self._read("decide")
        self._admit = link.script(decide + self._read("admit"))
        self._judge = link.script(decide + self._read("judge"))
        self._extend = link.script(shared + self._read("extend"))
        self._settle = link.script(shared + self._read("settle"))
        self._correct = link.script(shared + self._read("correct"))
        self._peek = link.script(shared + self._read("peek"))
        self._reassert = link.script(shared + self._read("reassert"))
        self._orphan = link.script(shared + self._read("orphan"))
        self._admit_head = _head(self._admit)
        self._settle_head = _head(self._settle)
        self._correct_head = _head(self._correct)
        self._fixed: dict[tuple[str, bool], tuple[Limits, Limits, str, str]] = {}

    def _read(self, name: str) -> str:
        return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")

    def admit(self, ask: Ask, riders: Sequence[Settlement], clock_us: int) -> bytes:
        """The command for one ask. The hot path: one string, no loop when nothing rides along."""
        tag, subject, product = ask.tag, ask.subject, ask.product
        length = len(subject) + 8
        window = length + len(product) + 1
        keys = (
            f"${length}\r\n{tag}h:{subject}\r\n$7\r\n{tag}d\r\n"
            f"${window}\r\n{tag}r:{product}:{subject}\r\n"
            f"${window}\r\n{tag}t:{product}:{subject}\r\n"
            f"${length}\r\n{tag}b:{subject}\r\n"
        )
        number, deadline = str(ask.admission_no), str(ask.deadline_ms)
        hold, cost = str(ask.hold_tokens), str(ask.tpm_cost)
        asked = (
            f"${len(ask.request_id)}\r\n{ask.request_id}\r\n${len(number)}\r\n{number}\r\n"
            f"${len(deadline)}\r\n{deadline}\r\n${len(hold)}\r\n{hold}\r\n"
            f"${len(cost)}\r\n{cost}\r\n"
        )
        fixed = self._fixed_part(ask)
        clock = "$1\r\n0\r\n" if clock_us == 0 else _bulk(clock_us)
        if not riders:
            text = f"*24\r\n{self._admit_head}$1\r\n5\r\n{keys}{clock}{fixed}{asked}"
            return text.encode("ascii")
        count = len(riders)
        more_keys = "".join([_window(r.tag, r.subject, r.product) for r in riders])
        told = "".join([_decided_words(rider) for rider in riders])
        head = f"*{24 + 4 * count}\r\n{self._admit_head}{_bulk(5 + count)}"
        return f"{head}{keys}{more_keys}{clock}{fixed}{asked}{told}".encode("ascii")

    def judge(self, ask: Ask, clock_us: int) -> bytes:
        """The same question, without taking anything: it has the arguments of `admit`."""
        known = self.admit(ask, (), clock_us)
        return known.replace(self._admit.sha, self._judge.sha, 1)

    def extend(self, tag: str, subject: str, request_id: str, hold_tokens: int) -> bytes:
        """Hold this much in all for a request that runs."""
        return self._extend.call(
            (holds_key(tag, subject), copy_key(tag, subject)), (request_id, hold_tokens)
        )

    def _fixed_part(self, ask: Ask) -> str:
        """What is the same for all asks of a product: span, name, limits, keyed, instance."""
        known = self._fixed.get((ask.product, ask.keyed))
        if (
            known is not None
            and known[0] is ask.limits_key
            and known[1] is ask.limits_premium
            and known[2] == ask.instance
        ):
            return known[3]
        words = (
            self.span_us,
            ask.product,
            *limit_words(ask.limits_key),
            *limit_words(ask.limits_premium),
            keyed_word(ask),
            ask.instance,
        )
        text = "".join(_bulk(word) for word in words)
        self._fixed[ask.product, ask.keyed] = (
            ask.limits_key,
            ask.limits_premium,
            ask.instance,
            text,
        )
        return text

    def settle(
        self, tag: str, subject: str, settlements: Sequence[Settlement], row: BalanceRow | None
    ) -> bytes:
        """Release these holds of one subject and take its balance, if there is one."""
        words = [] if row is None else copy_words(row)
        version: str | int = "" if row is None else row.version
        count, rest = len(settlements), (version, COPY_LIVES_MS, len(words), *words)
        parts = [
            f"*{6 + 3 * count + len(rest)}\r\n{self._settle_head}{_bulk(3 + count)}",
            _bulk(holds_key(tag, subject)),
            _bulk(deadlines_key(tag)),
            _bulk(copy_key(tag, subject)),
            *[_window(tag, subject, each.product) for each in settlements],
            *[_bulk(word) for word in rest],
            *[_settled_words(each) for each in settlements],
        ]
        return "".join(parts).encode("ascii")

    def correct(self, tag: str, subject: str, decided: Sequence[Settlement]) -> bytes:
        """Some requests of one subject were decided: windows, places and holds follow."""
        count = len(decided)
        parts = [
            f"*{4 + 4 * count}\r\n{self._correct_head}{_bulk(1 + count)}",
            _bulk(holds_key(tag, subject)),
            *[_window(tag, subject, each.product) for each in decided],
            *[_decided_words(each) for each in decided],
        ]
        return "".join(parts).encode("ascii")

    def peek(
        self,
        tag: str,
        subject: str,
        products: Sequence[tuple[str, Limits, Limits]],
        clock_us: int,
    ) -> bytes:
        """What a subject has left of these products."""
        keys = [holds_key(tag, subject), copy_key(tag, subject)]
        words: list[str | int] = [clock_us]
        for name, key, premium in products:
            keys += [requests_key(tag, subject, name), tokens_key(tag, subject, name)]
            words += [name, *limit_words(key), *limit_words(premium)]
        return self._peek.call(tuple(keys), tuple(words))

    def reassert(self, tag: str, hold: Hold, clock_us: int) -> bytes:
        """Put back the hold of a request that runs, where Redis has lost it."""
        return self._reassert.call(
            (holds_key(tag, hold.subject), deadlines_key(tag)),
            (
                clock_us,
                hold.request_id,
                hold.hold_tokens,
                hold.deadline_ms,
                hold.admission_no,
                hold.product,
                hold.instance,
            ),
        )

    def orphan(self, tag: str, subject: str, request_id: str, member: str) -> bytes:
        """The record of a hold that the deadlines of its tag name as `member`."""
        keys = (holds_key(tag, subject), deadlines_key(tag))
        return self._orphan.call(keys, (request_id, member))
