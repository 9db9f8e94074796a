"""Clients as people use them: aiohttp's session and the OpenAI library."""

import asyncio

import openai
import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.edge.door import API, DEEPSEARCH, READER, TRIAL, Door, Key
from tests.edge.scripts import answering
from tests.edge.stub import SSE, Stub, Turn

EMBEDDING = orjson.dumps(
    {
        "model": "m",
        "object": "list",
        "usage": {"total_tokens": 5, "prompt_tokens": 5},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
    }
)


def client(door: Door, key: Key, host: str = API) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=key.text,
        base_url=f"http://127.0.0.1:{door.port}/v1",
        default_headers={"Host": host},
        max_retries=0,
    )


async def test_the_openai_library_embeds(door: Door, key: Key, embeddings: Stub) -> None:
    embeddings.script = answering(EMBEDDING)
    async with client(door, key) as api:
        found = await api.embeddings.create(model="m", input="x", encoding_format="float")
    assert found.data[0].embedding == [0.25, -0.5]
    assert found.usage.total_tokens == 5
    sent = orjson.loads((await embeddings.turn()).body)
    assert sent["input"] == "x"
    await door.at_rest(key.subject)
    assert await door.balance(key) == TRIAL - 5


async def test_the_openai_library_reads_a_stream(door: Door, key: Key, deepsearch: Stub) -> None:
    def chunk(**more: object) -> bytes:
        base = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return b"data: %b\n\n" % orjson.dumps(base | more)

    async def script(turn: Turn) -> None:
        await turn.begin(kind=SSE)
        for word in ("<think>", "well", "</think>"):
            delta = {"index": 0, "delta": {"content": word}, "finish_reason": None}
            await turn.chunk(chunk(choices=[delta]))
        last = {"index": 0, "delta": {"content": "42"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 77}
        await turn.chunk(chunk(choices=[last], usage=usage))
        await turn.end()

    deepsearch.script = script
    async with client(door, key, DEEPSEARCH) as api:
        stream = await api.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream=True
        )
        chunks = [each async for each in stream]
    assert (
        "".join(each.choices[0].delta.content or "" for each in chunks) == "<think>well</think>42"
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 77
    await door.at_rest(key.subject)
    assert await door.balance(key) == TRIAL - 77


async def test_the_openai_library_raises_its_own_errors(
    door: Door, key: Key, embeddings: Stub
) -> None:
    unknown = Key("sluice_" + "x" * 60, 1)
    poor = await door.key(trial=0)
    busy = await door.key(embeddings={"rpm": 1})
    embeddings.script = answering(EMBEDDING)

    async def ask(who: Key) -> None:
        async with client(door, who) as api:
            await api.embeddings.create(model="m", input="x")

    with pytest.raises(openai.AuthenticationError, match="Invalid API key"):
        await ask(unknown)
    with pytest.raises(openai.APIStatusError, match="Insufficient account balance"):
        await ask(poor)
    await ask(busy)
    with pytest.raises(openai.RateLimitError) as refused:
        await ask(busy)
    assert int(refused.value.response.headers["retry-after"]) <= 60
    embeddings.script = answering(b"", status=500)
    with pytest.raises(openai.InternalServerError, match="nothing was charged"):
        await ask(key)


async def test_a_session_with_many_requests_at_once_loses_none(
    door: Door, key: Key, reader: Stub
) -> None:
    """On kept connections, whole and streamed, with and without bodies."""

    async def script(turn: Turn) -> None:
        size = int(turn.path.rpartition("/")[2])
        await turn.begin(kind="text/plain", headers=[("x-usage-tokens", "1")])
        for at in range(0, size, 100_000):
            await turn.chunk(b"x" * min(100_000, size - at))
        await turn.end()

    reader.script = script
    sizes = [1, 10, 1_000, 100_000, 300_000, 1_000_000] * 10
    headers = {"Host": READER, "Authorization": f"Bearer {key.text}"}
    timeout = ClientTimeout(total=20)
    async with ClientSession(f"http://127.0.0.1:{door.port}", timeout=timeout) as session:

        async def get(number: int, size: int) -> int:
            data = b"{}" if number % 2 else None
            method = "POST" if data else "GET"
            path = f"/https://a.example/{size}"
            async with session.request(method, path, headers=headers, data=data) as answer:
                assert answer.status == 200
                return len(await answer.read())

        found = await asyncio.gather(*(get(n, size) for n, size in enumerate(sizes)))
    assert found == sizes
    await door.at_rest(key.subject, "reader")
    assert await door.balance(key) == TRIAL - len(sizes)
