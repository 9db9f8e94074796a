"""The form of keys and key ids: made from given randomness, checked without a look-up, hashed.

Refuses to store, find or log a key; at rest there is only its HMAC and its last characters.
"""

import hmac
from hashlib import sha256
from typing import Final
from zlib import crc32

ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE: Final = len(ALPHABET)
_RANDOM_CHARACTERS: Final = 54
_CHECK_CHARACTERS: Final = 6
KEY_CHARACTERS: Final = _RANDOM_CHARACTERS + _CHECK_CHARACTERS
# 54 characters carry 321.5 bits; 48 bytes are 62 bits more, so that the remainder of the division
# favours no character by more than 2**-62.
RANDOM_BYTES: Final = 48
LAST_CHARACTERS: Final = 4
KEY_ID_PREFIX: Final = "key_"
# 62**11 > 2**63.
_KEY_ID_CHARACTERS: Final = 11
MAX_KEY_ID: Final = 2**63 - 1
_VALUES: Final = {character: value for value, character in enumerate(ALPHABET)}


def make_key(random_bytes: bytes, prefix: str) -> str:
    """A key from 48 random bytes: prefix, 54 random characters, 6 of checksum."""
    if len(random_bytes) != RANDOM_BYTES:
        raise ValueError(f"a key is made of {RANDOM_BYTES} random bytes, not {len(random_bytes)}")
    body = prefix + _digits(int.from_bytes(random_bytes, "big"), _RANDOM_CHARACTERS)
    return body + _checksum(body)


def check_key(text: str, prefix: str) -> bool:
    """Whether the text can be a key: form and checksum.

    CRC-32 sees every change within 32 neighbouring bits, so one wrong character and two exchanged
    neighbours are always caught; any other mistake slips through once in 2**32.
    """
    if len(text) != len(prefix) + KEY_CHARACTERS or not text.startswith(prefix):
        return False
    # Compared with the one text of this checksum, so that no second spelling is a key.
    return text.isascii() and text[-_CHECK_CHARACTERS:] == _checksum(text[:-_CHECK_CHARACTERS])


def key_hmac(pepper: bytes, key: str) -> bytes:
    """32 bytes that stand for the key at rest: HMAC-SHA256 under a secret of this installation."""
    return hmac.digest(pepper, key.encode(), sha256)


def peppers(text: str) -> tuple[bytes, ...]:
    """The peppers of a setting: the first for new keys, the others to find earlier keys by."""
    return tuple(part.encode() for part in text.split(","))


def last_characters(key: str) -> str:
    """What a person recognises his key by: its last four characters."""
    return key[-LAST_CHARACTERS:]


def format_key_id(key_id: int) -> str:
    """The public form `key_` + 11 characters of an id from 1 to 2**63 - 1."""
    if not 1 <= key_id <= MAX_KEY_ID:
        raise ValueError(f"a key id is between 1 and 2**63 - 1, not {key_id}")
    return KEY_ID_PREFIX + _digits(key_id, _KEY_ID_CHARACTERS)


def parse_key_id(text: str) -> int | None:
    """The id of a public form; None if it is none."""
    digits = text.removeprefix(KEY_ID_PREFIX)
    if len(text) != len(KEY_ID_PREFIX) + _KEY_ID_CHARACTERS or len(digits) != _KEY_ID_CHARACTERS:
        return None
    number = 0
    for character in digits:
        value = _VALUES.get(character)
        if value is None:
            return None
        number = number * _BASE + value
    return number if 1 <= number <= MAX_KEY_ID else None


def key_id_from_random(random_bytes: bytes) -> int:
    """An id from 8 random bytes; 0 is no id and becomes 1."""
    return (int.from_bytes(random_bytes[:8], "big") & MAX_KEY_ID) or 1


def _checksum(body: str) -> str:
    return _digits(crc32(body.encode()), _CHECK_CHARACTERS)


def _digits(number: int, count: int) -> str:
    """The `count` lowest digits in base 62, the highest first."""
    digits = []
    for _ in range(count):
        number, digit = divmod(number, _BASE)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
