"""A streamed answer, and the same whole: their shapes, their order, what they cost."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest

from tests.services.deepsearch.conftest import Opener
from tests.services.deepsearch.desk import QUESTION, Desk, Signer
from tests.services.deepsearch.standin import Standin


async def test_stream_thinks_then_answers_in_one_piece_as_the_contract_has_it(desk: Desk) -> None:
    heard = await desk.hear(desk.ask(model="any-name"))
    first, last = heard.chunks[0], heard.last
    assert first["choices"][0]["delta"] == {
        "role": "assistant",
        "content": "<think>",
        "type": "think",
    }
    assert {chunk["object"] for chunk in heard.chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in heard.chunks} == {"any-name"}
    assert {chunk["id"] for chunk in heard.chunks} == {first["id"]}
    assert first["system_fingerprint"] == f"fp_{first['id']}"
    assert heard.reasons[-2:] == ["thinking_end", "stop"]
    assert set(heard.reasons[:-2]) == {None}
    assert heard.deltas[-2] == {"content": "</think>\n\n", "type": "think"}
    thoughts = heard.deltas[1:-2]
    assert all(delta["type"] == "think" for delta in thoughts)
    words = [delta["content"] for delta in thoughts if "content" in delta]
    assert "I search for it. " in "".join(words)
    assert all(len(word.split()) == 1 for word in words)
    assert any("query" in delta for delta in thoughts)
    assert any("url" in delta for delta in thoughts)
    assert heard.others == []

    delta = last["choices"][0]["delta"]
    assert delta["type"] == "text"
    assert delta["content"] == "The lock at Fallenmoor was built in 1788[^1]. It has gates."
    [annotation] = delta["annotations"]
    assert annotation["type"] == "url_citation"
    assert set(annotation["url_citation"]) == {"title", "exactQuote", "url", "dateTime"}
    assert "1788" in annotation["url_citation"]["exactQuote"]
    assert annotation["url_citation"]["url"] in last["readURLs"]
    assert set(last["readURLs"]) <= set(last["visitedURLs"])
    assert last["numURLs"] >= len(last["visitedURLs"]) > 0
    usage = last["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


async def test_whole_answer_has_the_shape_and_the_charge_of_the_contract(desk: Desk) -> None:
    answer = await desk.post(desk.ask())
    assert answer.status == 200
    body = answer.json
    assert body["object"] == "chat.completion"
    assert body["model"] == "jina-deepsearch-v1"
    [choice] = body["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["type"] == "text"
    assert "1788" in choice["message"]["content"]
    assert choice["message"]["annotations"]
    assert body["numURLs"] >= len(body["visitedURLs"]) > 0
    assert answer.tokens == body["usage"]["total_tokens"] > 0
    assert "x-charge-rule" not in answer.headers


async def test_running_usage_only_grows_and_ends_below_the_final_usage(desk: Desk) -> None:
    heard = await desk.hear(desk.ask())
    assert heard.running == sorted(heard.running)
    assert heard.running[-1] <= heard.last["usage"]["total_tokens"]
    assert len(heard.running) >= 4


async def test_without_a_model_found_words_answer_and_cite(plain: Desk) -> None:
    heard = await plain.hear(plain.ask())
    delta = heard.last["choices"][0]["delta"]
    assert "1788" in delta["content"]
    assert delta["annotations"]
    assert heard.last["usage"]["total_tokens"] > 0
    assert heard.last["usage"]["completion_tokens"] == 0


async def test_done_is_sent_only_where_the_setting_says_so(opened: Opener) -> None:
    async with opened(DEEPSEARCH_DONE="yes") as desk:
        heard = await desk.hear(desk.ask())
    assert heard.others == ["data: [DONE]"]


async def test_max_returned_urls_as_text_cuts_the_list_but_not_the_number(plain: Desk) -> None:
    heard = await plain.hear(plain.ask(max_returned_urls="1"))
    assert len(heard.last["visitedURLs"]) == 1
    assert heard.last["numURLs"] > 1


async def test_hostnames_bound_what_is_read(plain: Desk) -> None:
    heard = await plain.hear(plain.ask(bad_hostnames=["127.0.0.1"]))
    assert not any("127.0.0.1" in url for url in heard.last["readURLs"])


def _client(desk: Desk) -> openai.AsyncOpenAI:
    http = httpx2.AsyncClient(auth=Signer())
    return openai.AsyncOpenAI(base_url=f"{desk.base}/v1", api_key="k", http_client=http)


async def test_openai_client_reads_whole_and_streamed(desk: Desk) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]
    async with _client(desk) as client:
        whole = await client.chat.completions.create(model="m", messages=messages)
        assert "1788" in str(whole.choices[0].message.content)
        assert whole.usage is not None
        assert whole.usage.total_tokens > 0
        stream: Any = await client.chat.completions.create(
            model="m", messages=messages, stream=True, extra_body={"max_returned_urls": "1"}
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.total_tokens > 0
        assert len(chunks[-1].visitedURLs) == 1
        assert chunks[-2].choices[0].finish_reason == "thinking_end"
        names = [model.id async for model in client.models.list()]
        assert "jina-deepsearch-v1" in names
        assert (await client.models.retrieve("jina-deepsearch-v1")).object == "model"
        with pytest.raises(openai.NotFoundError, match="Model 'gpt-0' not found"):
            await client.models.retrieve("gpt-0")


async def test_openai_client_without_asyncio_reads_whole_and_streamed(desk: Desk) -> None:
    messages: Any = [{"role": "user", "content": QUESTION}]

    def ask() -> tuple[str, list[Any]]:
        with openai.OpenAI(
            base_url=f"{desk.base}/v1", api_key="k", http_client=httpx2.Client(auth=Signer())
        ) as client:
            whole = client.chat.completions.create(model="m", messages=messages)
            stream: Any = client.chat.completions.create(model="m", messages=messages, stream=True)
            return str(whole.choices[0].message.content), list(stream)

    content, chunks = await asyncio.to_thread(ask)
    assert "1788" in content
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_conversation_reaches_the_model_without_earlier_thoughts(
    desk: Desk, model: Standin
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "<think>secret thoughts</think>Hi there"},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    answer = await desk.post({"messages": messages})
    assert answer.status == 200
    said = str(model.asked[0]["messages"])
    assert "Be brief." in said
    assert "Hi there" in said
    assert QUESTION in said
    assert "secret thoughts" not in said


async def test_direct_answer_needs_no_search_unless_it_is_declined(
    desk: Desk, model: Standin
) -> None:
    model.answers["Plan how to research"] = {"queries": ["Fallenmoor lock"], "answer": "Hello!"}
    direct = await desk.post(desk.ask("Hi"))
    assert direct.json["choices"][0]["message"]["content"] == "Hello!"
    assert direct.json["readURLs"] == []
    searched = await desk.post(desk.ask(QUESTION, no_direct_answer=True))
    assert "1788" in searched.json["choices"][0]["message"]["content"]


async def test_search_provider_that_is_not_deployed_is_said_and_costs_nothing(plain: Desk) -> None:
    answer = await plain.post(plain.ask(search_provider="brave"))
    assert answer.void
    content = answer.json["choices"][0]["message"]["content"]
    assert content.startswith("Error: The search was refused: ")
    assert "brave" in content


async def test_a_search_that_is_away_is_an_error_and_free_and_not_an_empty_find(
    opened: Opener,
) -> None:
    async with opened(SERVICE_SEARCH_URL="http://127.0.0.1:9") as alone:
        answer = await alone.post(alone.ask())
    assert answer.void
    assert answer.json["choices"][0]["finish_reason"] == "error"
    nothing = answer.json["choices"][0]["message"]["content"]
    assert nothing.startswith("Error: No search provider answered")


async def test_without_evidence_it_says_so_cites_nothing_and_is_no_error(plain: Desk) -> None:
    answer = await plain.post(plain.ask("What is the boiling point of tungsten?"))
    choice = answer.json["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "Nothing was found that answers this question."
    assert choice["message"]["annotations"] == []
    assert answer.json["usage"]["total_tokens"] == 0


async def test_only_hostnames_are_searched_and_not_only_read(plain: Desk) -> None:
    heard = await plain.hear(plain.ask(only_hostnames=["nowhere.example"]))
    assert heard.last["numURLs"] == 0
    assert heard.last["usage"]["total_tokens"] == 0
