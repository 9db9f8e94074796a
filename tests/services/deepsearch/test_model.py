"""Models that are away, slow, busy, broken, endless or malicious: what the client then gets."""

import re
import time

import pytest

from tests.services.deepsearch import standin as standins
from tests.services.deepsearch.conftest import Opener
from tests.services.deepsearch.desk import Desk
from tests.services.deepsearch.standin import Behaviour, Standin, raw, spoken, status

CHUNKED_LIE = b'data: {"choices":[{"delta":{"content":"half an ans'
BROKEN: dict[str, Behaviour] = {
    "html": raw(b"<html><body>Bad gateway</body></html>", "text/html"),
    "cut_json": raw(b'{"choices": [{"message": {"content": "half'),
    "no_choices": raw(b'{"choices": []}'),
    "list": raw(b"[]"),
    "nothing": raw(b""),
    "error_in_200": raw(b'{"error": {"message": "overloaded"}}'),
    "cut_stream": raw(CHUNKED_LIE, "text/event-stream"),
    "error_in_stream": raw(b'data: {"error": "boom"}\n\n', "text/event-stream"),
    "server_error": status(500),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
async def test_model_that_recovers_is_asked_again(desk: Desk, model: Standin, name: str) -> None:
    model.script = [BROKEN[name]]
    answer = await desk.post(desk.ask())
    assert "1788" in answer.json["choices"][0]["message"]["content"]


async def test_model_that_stays_broken_is_an_error_that_costs_nothing(
    desk: Desk, model: Standin
) -> None:
    model.always = BROKEN["html"]
    whole = await desk.post(desk.ask())
    assert whole.status == 200
    assert whole.void
    [choice] = whole.json["choices"]
    assert choice["finish_reason"] == "error"
    assert choice["message"]["type"] == "error"
    assert choice["message"]["content"].startswith("Error: ")
    assert len(model.asked) == 3


async def test_unreachable_model_is_an_error_event_in_a_stream_that_ends_well(
    opened: Opener,
) -> None:
    async with opened(LLM_BASE_URL="http://127.0.0.1:9/v1", LLM_API_KEY="key-of-ours") as desk:
        heard = await desk.hear(desk.ask())
    assert heard.reasons[-2:] == ["error", "error"]
    assert heard.deltas[-2]["content"] == "</think>\n\n"
    assert heard.deltas[-1]["type"] == "error"
    assert "cannot be reached" in heard.deltas[-1]["content"]
    assert heard.last["usage"]["total_tokens"] == 0
    assert "key-of-ours" not in str(heard.chunks)
    assert "127.0.0.1:9" not in str(heard.chunks)


async def test_busy_model_is_waited_for_as_long_as_it_says(desk: Desk, model: Standin) -> None:
    model.script = [status(429, **{"Retry-After": "0.3"}), status(503, **{"Retry-After": "0.2"})]
    begun_s = time.monotonic()
    answer = await desk.post(desk.ask())
    assert "1788" in answer.json["choices"][0]["message"]["content"]
    assert time.monotonic() - begun_s >= 0.5


async def test_model_that_wants_an_hour_is_not_waited_for(desk: Desk, model: Standin) -> None:
    model.always = status(429, **{"Retry-After": "3600"})
    answer = await desk.post(desk.ask())
    assert answer.void
    assert "busy" in answer.json["choices"][0]["message"]["content"]
    assert len(model.asked) == 1


async def test_key_that_is_refused_is_said_without_the_key_or_the_servers_words(
    desk: Desk, model: Standin
) -> None:
    model.always = status(401, '{"error": "bad key key-of-ours"}')
    answer = await desk.post(desk.ask())
    assert answer.void
    assert "key-of-ours" not in answer.text
    assert model.asked[0]["headers"]["Authorization"] == "Bearer key-of-ours"


async def test_slow_model_costs_its_time_and_no_more(opened: Opener, model: Standin) -> None:
    model.always = standins.silent
    async with opened(LLM_BASE_URL=model.url, LLM_TIMEOUT_MS="150") as desk:
        answer = await desk.post(desk.ask())
    assert answer.void
    assert "too long" in answer.json["choices"][0]["message"]["content"]
    assert model.hung_up == 3


@pytest.mark.parametrize("behaviour", [standins.endless, standins.trickle])
async def test_stream_without_an_end_is_cut(
    opened: Opener, model: Standin, behaviour: Behaviour
) -> None:
    model.always = behaviour
    async with opened(LLM_BASE_URL=model.url, LLM_TIMEOUT_MS="300") as desk:
        answer = await desk.post(desk.ask())
    assert answer.void
    assert model.open_now == 0


async def test_usage_that_is_missing_or_absurd_is_counted_by_us(desk: Desk, model: Standin) -> None:
    totals = []
    for usage in (None, {"prompt_tokens": 10**12, "completion_tokens": 10**12}):
        said = '{"think": "", "queries": [], "answer": "Hello to you!"}'
        model.always = spoken(said, usage)
        totals.append((await desk.post(desk.ask("Hi"))).tokens)
    # The mark of a request is drawn at random, and not all have as many tokens.
    assert abs(totals[0] - totals[1]) < 20
    assert 100 < totals[0] < 1_000


async def test_usage_of_the_server_is_taken_where_it_can_be_believed(
    desk: Desk, model: Standin
) -> None:
    said = '{"think": "", "queries": [], "answer": "Hello to you!"}'
    model.always = spoken(said, {"prompt_tokens": 321, "completion_tokens": 45})
    answer = await desk.post(desk.ask("Hi"))
    assert answer.json["usage"] == {
        "prompt_tokens": 321,
        "completion_tokens": 45,
        "total_tokens": 366,
    }


async def test_model_that_wants_the_newer_name_of_the_bound_gets_it(
    desk: Desk, model: Standin
) -> None:
    model.script = [status(400, "use max_completion_tokens instead of max_tokens")]
    answer = await desk.post(desk.ask())
    assert answer.json["choices"][0]["finish_reason"] == "stop"
    assert "max_tokens" in model.asked[0]
    assert "max_completion_tokens" in model.asked[1]


async def test_what_pages_say_stands_between_marks_that_nobody_can_guess(
    desk: Desk, model: Standin
) -> None:
    marks = set()
    for _ in range(2):
        model.asked.clear()
        assert (await desk.post(desk.ask())).status == 200
        prompt = standins.prompt_of(model.asked[-1])
        [mark] = set(re.findall(r"<<end ([0-9a-f]{8})>>", prompt))
        assert f"<<quote {mark} 1>>" in prompt
        assert "never an instruction" in prompt
        marks.add(mark)
    assert len(marks) == 2


async def test_model_cannot_cite_what_was_not_found(desk: Desk, model: Standin) -> None:
    model.answers[standins.ANSWER] = "It was 1788 [1], says http://evil.test/ [7][2][250]."
    answer = await desk.post(desk.ask())
    message = answer.json["choices"][0]["message"]
    assert "[^1]" in message["content"]
    assert "[250]" not in message["content"]
    urls = {each["url_citation"]["url"] for each in message["annotations"]}
    assert urls <= set(answer.json["readURLs"])


async def test_judge_that_rejects_brings_another_attempt_and_then_the_last_word(
    desk: Desk, model: Standin
) -> None:
    model.answers[standins.EVALUATE] = {
        "passed": False,
        "why": "too vague",
        "gaps": ["Who was Ada Quill?"],
    }
    answer = await desk.post(desk.ask(max_attempts=2))
    assert "1788" in answer.json["choices"][0]["message"]["content"]
    prompts = [standins.prompt_of(body) for body in model.asked]
    assert sum(standins.EVALUATE in prompt for prompt in prompts) == 2
    assert any("too vague" in prompt for prompt in prompts)
    assert any("last chance" in prompt for prompt in prompts)
