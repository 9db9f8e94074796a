"""Two real processes on one database, with the built-in model: as a deployment runs them."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.services.asking import Asker
from tests.services.classifier.desk import Desk, example
from tests.services.processes import free_port, service

MODEL = "jina-embeddings-v3"
SPORTS = ("The striker scored twice.", "She broke the record in the hurdles.")
MONEY = ("The central bank raised rates.", "Shares fell after a weak forecast.")


@pytest.fixture
async def pair(database: str, model_data_dir: Path) -> AsyncIterator[tuple[Desk, Desk]]:
    """Two processes that know nothing of each other."""
    settings = {
        "SLUICE_DATABASE_URL": database,
        "SLUICE_DATA_DIR": str(model_data_dir),
        "SLUICE_MODEL_THREADS": "1",
    }
    first = free_port()
    ports = [f"127.0.0.1:{port}" for port in (first, free_port(first))]
    with service("classifier", ports[0], settings), service("classifier", ports[1], settings):
        yield Desk(f"http://{ports[0]}"), Desk(f"http://{ports[1]}")


async def test_two_processes_lose_no_update_and_forget_no_label(pair: tuple[Desk, Desk]) -> None:
    items = [example(text, "sports") for text in SPORTS]
    items += [example(text, "money") for text in MONEY]
    made = await pair[0].train({"model": MODEL, "input": items})
    assert made.status == 200, made.text
    classifier_id = made.json["classifier_id"]
    names = [f"subject {n}" for n in range(8)]

    async def add(place: int) -> int:
        body = {"classifier_id": classifier_id, "input": example(names[place], names[place])}
        for tries in range(100):
            answer = await pair[(place + tries) % 2].train(body)
            if answer.status == 200:
                return tries
            assert (answer.status, answer.void) == (409, True), answer.text
        raise AssertionError("an update never came through")

    retries = sum(await asyncio.gather(*map(add, range(8))))
    assert retries > 0, "no two updates met; the test proves nothing"
    for desk in pair:
        [view] = (await desk.get()).json
        assert view["updated_number"] == 8
        assert sorted(view["labels"]) == sorted(["sports", "money", *names])
        body = {
            "classifier_id": classifier_id,
            "input": ["The goalkeeper saved a penalty.", *names],
        }
        found = [item["prediction"] for item in (await desk.classify(body)).json["data"]]
        assert found == ["sports", *names]
    give_up_s = time.monotonic() + 60
    while (used := (await pair[0].get()).json[0]["used_number"]) < 2:
        assert time.monotonic() < give_up_s
        await asyncio.sleep(0.1)
    assert used == 2


async def test_api_process_without_a_database_scores_labels_and_says_what_it_cannot(
    api: Asker,
) -> None:
    desk = Desk(api.base)
    body = {"model": MODEL, "input": SPORTS[0], "labels": ["sports", "money", "sports"]}
    answer = await desk.classify(body)
    assert answer.json["data"][0]["prediction"] == "sports"
    embedded = await desk.ask(
        "POST", "/v1/embeddings", {"model": MODEL, "input": [SPORTS[0], "sports", "money"]}
    )
    assert answer.tokens == answer.json["usage"]["total_tokens"] == embedded.tokens
    refused = await desk.train({"model": MODEL, "input": [example("x", "a"), example("y", "b")]})
    assert (refused.status, refused.void) == (503, True)
    assert refused.headers["Retry-After"]
