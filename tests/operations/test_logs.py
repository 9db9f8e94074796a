"""Log lines: the same on both sides, whole objects, and without what nobody may read."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.keys.format import RANDOM_BYTES, make_key
from gateway.telemetry import logs as gateway_logs
from services import logs as services_logs

LogTo = Callable[[TextIO, str, str, str], None]
SIDES = {"gateway": gateway_logs.log_to, "services": services_logs.log_to}
KEY = make_key(bytes(range(RANDOM_BYTES)), "sluice_")
OTHER = make_key(bytes(reversed(range(RANDOM_BYTES))), "acme_")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging as the tests found it."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)


def _logged(log_to: LogTo, form: str, prefix: str = "sluice_") -> str:
    stream = io.StringIO()
    log_to(stream, "gateway-0", form, prefix)
    log = logging.getLogger("sluice.tests")
    log.warning("%s came\nin two lines", "something", extra={"request_id": "r-1", "tokens": 3})
    try:
        raise ValueError(f"Authorization: Bearer {KEY}")
    except ValueError:
        log.exception("with %s", KEY, extra={"asked": f"/?_token={KEY}"})
    return stream.getvalue()


@pytest.mark.parametrize("side", SIDES)
def test_a_json_line_is_one_object_with_all_that_was_told(side: str) -> None:
    first, second = map(json.loads, _logged(SIDES[side], "json").splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "WARNING",
        "logger": "sluice.tests",
        "process": "gateway-0",
        "message": "something came\nin two lines",
        "request_id": "r-1",
        "tokens": 3,
    }
    assert second["level"] == "ERROR"
    assert "ValueError" in second["trace"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("side", SIDES)
def test_no_key_is_in_a_line_whoever_logged_it(side: str, form: str) -> None:
    text = _logged(SIDES[side], form)
    assert "sluice_" not in text
    assert KEY[7:30] not in text
    assert text.count("[secret]") >= 3


def test_both_sides_write_the_same() -> None:
    for form in ("text", "json"):
        one, other = (_logged(log_to, form) for log_to in SIDES.values())
        lines = zip(_timeless(one, form), _timeless(other, form), strict=True)
        assert all(here == there for here, there in lines)


def _timeless(text: str, form: str) -> list[Any]:
    if form == "text":
        return [line[23:] if line[:2] == "20" else line for line in text.splitlines()]
    return [{**json.loads(line), "time": ""} for line in text.splitlines()]


def test_a_file_gets_json_and_a_terminal_text() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for stream, as_json in ((io.StringIO(), True), (Terminal(), False)):
        gateway_logs.log_to(stream, "worker", "auto", "sluice_")
        logging.getLogger("sluice.tests").error("told")
        assert stream.getvalue().startswith("{") is as_json


def test_what_ends_a_process_is_a_line_as_well() -> None:
    stream = io.StringIO()
    gateway_logs.log_to(stream, "worker", "json", "sluice_")
    sys.excepthook(ValueError, ValueError(KEY), None)
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["level"], line["message"]) == ("CRITICAL", "the process ends")
    assert KEY not in stream.getvalue()


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("?access_token=abc.def&x=1", "?access_token=[secret]&x=1"),
        ("Authorization: Basic dXNlcjpw, then", "Authorization: Basic [secret], then"),
        ("{'X-Api-Key': 'abc'}", "{'X-Api-Key': 'abc'}"),
        ("{'api_key': 'abc'}", "{'api_key': '[secret]'}"),
        ("postgresql://me:pa:ss@db/x", "postgresql://me:[secret]@db/x"),
        ("redis://:word@h:1 and http://h:80/a@b", "redis://:[secret]@h:1 and http://h:80/a@b"),
        ("of sk_live_51Habc and whsec_Zz9", "of [secret] and [secret]"),
    ],
)
def test_other_secrets_are_blotted_out_as_well(told: str, shown: str) -> None:
    for side in (gateway_logs, services_logs):
        assert side.TextLines("worker", "sluice_").blotted(told) == shown


@pytest.mark.parametrize(
    "told",
    [
        "the admin token is missing or wrong: set SLUICE_ADMIN_TOKEN",
        "sluice_spool_depth and sluice_reconcile_timestamp_seconds",
        "authorization failed for key_00000000001",
    ],
)
def test_what_is_no_secret_stays(told: str) -> None:
    stream = io.StringIO()
    gateway_logs.log_to(stream, "worker", "text", "sluice_")
    logging.getLogger("sluice.tests").error(told)
    assert told in stream.getvalue()


@given(
    before=st.text(max_size=30),
    how=st.sampled_from(
        ("{}", "Bearer {}", "authorization: {}", "?a=b&_token={}&c=d", '{{"api_key": "{}"}}')
    ),
    after=st.sampled_from(("", " ", "&x=1", "'", "\n", ")", "\N{SNOWMAN}")),
    cut=st.integers(min_value=30, max_value=len(OTHER)),
)
def test_a_key_is_blotted_out_wherever_it_stands(
    before: str, how: str, after: str, cut: int
) -> None:
    lines = gateway_logs.JsonLines("worker", "acme_")
    text = before + how.format(OTHER[:cut]) + after
    record = logging.LogRecord("sluice.x", logging.ERROR, "", 0, text, None, None)
    told = json.loads(lines.format(record))["message"]
    assert OTHER[5:25] not in told
