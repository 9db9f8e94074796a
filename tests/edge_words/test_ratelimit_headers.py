"""Every metered reply tells its limits in three dialects that parsers of each can read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.ask import Code, Decision
from gateway.edge.ratelimit_headers import lines_of
from gateway.products.product import Family

ITEM = re.compile(r'"(rpm|tpm)"((?:;[a-z]=[0-9]{1,15})+)')


def decision(
    limit: int = 500,
    left: int = 499,
    tokens: int | None = None,
    tokens_left: int = 0,
    oldest_ms: int = 0,
    oldest_tokens_ms: int = 0,
    code: Code = Code.ADMITTED,
    wait_ms: int = 0,
) -> Decision:
    return Decision(
        code=code,
        retry_after_ms=wait_ms,
        limit_requests=limit,
        remaining_requests=left,
        limit_tokens=tokens,
        remaining_tokens=tokens_left,
        remaining_balance=0,
        oldest_expiry_ms=oldest_ms,
        oldest_tokens_expiry_ms=oldest_tokens_ms,
        now_us=0,
        tier="key",
    )


def parsed(lines: bytes) -> dict[str, str]:
    assert lines.endswith(b"\r\n")
    pairs = [line.split(": ", 1) for line in lines.decode("ascii").split("\r\n")[:-1]]
    found = {name.lower(): value for name, value in pairs}
    assert len(found) == len(pairs), "no header twice"
    return found


def items(value: str) -> dict[str, dict[str, int]]:
    """A list of the structured form that these fields use."""
    found = {}
    for item in value.split(", "):
        match = ITEM.fullmatch(item)
        assert match is not None, item
        pairs = [each.split("=") for each in match[2][1:].split(";")]
        found[match[1]] = {name: int(number) for name, number in pairs}
    return found


def test_product_with_token_limit_tells_both_windows() -> None:
    found = parsed(lines_of(Family.API, decision(500, 499, 1_000_000, 999_985, 59_001, 60_000)))
    assert found == {
        "ratelimit-policy": '"rpm";q=500;w=60, "tpm";q=1000000;w=60',
        "ratelimit": '"rpm";r=499;t=60, "tpm";r=999985;t=60',
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-requests": "60",
        "x-ratelimit-limit-tokens": "1000000",
        "x-ratelimit-remaining-tokens": "999985",
        "x-ratelimit-reset-tokens": "60",
    }


def test_reader_tells_the_older_form_too_and_nothing_of_tokens() -> None:
    found = parsed(lines_of(Family.READER, decision(20, 19, oldest_ms=60_000)))
    assert found["x-ratelimit-limit"] == "20, 20;w=60"
    assert found["x-ratelimit-remaining"] == "19"
    assert not [name for name in found if "token" in name]
    assert found["ratelimit"] == '"rpm";r=19;t=60'


def test_other_hosts_do_not_tell_the_older_form() -> None:
    for family in (Family.API, Family.DEEPSEARCH):
        assert "x-ratelimit-limit" not in parsed(lines_of(family, decision()))


@pytest.mark.parametrize(("code", "resets"), [(Code.RPM, (8, 2)), (Code.TPM, (1, 8))])
def test_the_window_that_refused_tells_the_moment_of_retry_after(
    code: Code, resets: tuple[int, int]
) -> None:
    refused = decision(20, 0, 100, 0, 1_000, 2_000, code, wait_ms=7_001)
    found = items(parsed(lines_of(Family.API, refused))["ratelimit"])
    assert (found["rpm"]["t"], found["tpm"]["t"]) == resets


@given(
    limit=st.integers(1, 10**7),
    left=st.integers(-(10**7), 10**7),
    tokens=st.none() | st.integers(1, 10**15 - 1),
    tokens_left=st.integers(-(10**15), 10**15 - 1),
    oldest_ms=st.integers(0, 60_000),
    family=st.sampled_from(Family),
)
def test_all_numbers_are_whole_and_never_negative(
    limit: int, left: int, tokens: int | None, tokens_left: int, oldest_ms: int, family: Family
) -> None:
    given_ = decision(limit, left, tokens, tokens_left, oldest_ms, oldest_ms)
    found = parsed(lines_of(family, given_))
    policy, state = items(found["ratelimit-policy"]), items(found["ratelimit"])
    assert list(policy) == list(state) == (["rpm"] if tokens is None else ["rpm", "tpm"])
    assert policy["rpm"] == {"q": limit, "w": 60}
    assert state["rpm"] == {"r": max(0, left), "t": -(-oldest_ms // 1000)}
    if tokens is not None:
        assert policy["tpm"] == {"q": tokens, "w": 60}
        assert state["tpm"]["r"] == max(0, tokens_left)
