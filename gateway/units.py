"""Integers with units: the constants of time and size that several ranks share.

Refuses to hold anything that is a setting; those live in settings.
"""

from typing import Final

US_PER_MS: Final = 1_000
US_PER_S: Final = 1_000_000
MS_PER_S: Final = 1_000
WINDOW_S: Final = 60
WINDOW_US: Final = WINDOW_S * US_PER_S
WINDOW_MS: Final = WINDOW_S * MS_PER_S
KIB: Final = 1_024
MIB: Final = 1_024 * 1_024

# 2**63 - 1: the largest integer that PostgreSQL's bigint holds; every sum of tokens stays below.
MAX_TOKENS: Final = 9_223_372_036_854_775_807
