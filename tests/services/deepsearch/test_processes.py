"""Deepsearch in the house that `sluice up` starts: through the gateway, charged, traced."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.commands.sluice import Up, up

# So that the answers come soon: the house has two cores.
BOUND = {"budget_tokens": 6_000}
QUESTION: Any = [{"role": "user", "content": "How is a day's usage closed and checked?"}]


@pytest.fixture
def house() -> Iterator[Up]:
    folder = Path(tempfile.mkdtemp(prefix="sluice-deep-"))
    with up(folder / "data") as running:
        yield running
        assert running.stop() == 0
    shutil.rmtree(folder)


def test_answer_through_the_gateway_costs_its_usage_and_has_a_trace(house: Up) -> None:
    words = house.curls()[1]
    key = words[words.index("-H") + 1].removeprefix("Authorization: Bearer ")
    bearer = {"Authorization": f"Bearer {key}"}
    with (
        httpx2.Client(base_url=house.door, headers=bearer, timeout=60) as http,
        openai.OpenAI(base_url=f"{house.door}/v1", api_key=key, max_retries=0) as client,
    ):
        stream: Any = client.chat.completions.create(
            model="jina-deepsearch-v1", messages=QUESTION, stream=True, extra_body=BOUND
        )
        *_, thought, last = stream
        assert thought.choices[0].finish_reason == "thinking_end"
        assert last.choices[0].delta.annotations
        request_id = stream.response.headers["x-request-id"]
        spent = last.usage.total_tokens

        raw = client.chat.completions.with_raw_response.create(
            model="m", messages=QUESTION, extra_body=BOUND
        )
        usage = raw.parse().usage
        assert usage is not None
        assert int(raw.headers["x-usage-tokens"]) == usage.total_tokens > 0
        spent += usage.total_tokens

        host = {"Host": "deepsearch.localhost"}
        names = http.get("/v1/models", headers=host).json()["data"]
        assert names[0]["id"] == "jina-deepsearch-v1"
        unknown = http.get("/v1/models/gpt-0", headers=host)
        assert unknown.status_code == 404

        trace = http.get(f"/v1/requests/{request_id}/trace").json()
        assert sum(step["tokens"] for step in trace["steps"]) == last.usage.total_tokens
        assert httpx2.get(f"{house.door}/v1/requests/{request_id}/trace").status_code == 401

        bad = http.post("/v1/chat/completions", json={"messages": []})
        assert bad.status_code == 400
        assert bad.json()["error"] == "Messages array is required and must not be empty"
        assert _balance(http, 10_000_000 - spent) == 10_000_000 - spent


def _balance(http: httpx2.Client, expected: int) -> int:
    """The balance once it is `expected`, or what it is after half a minute."""
    give_up_s = time.monotonic() + 30
    while True:
        found = int(http.get("/v1/keys/me").json()["balance"]["total"])
        if found == expected or time.monotonic() > give_up_s:
            return found
        time.sleep(0.05)
