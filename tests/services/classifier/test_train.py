"""POST /v1/train: what is learned, what it costs, what is refused; over HTTP, on PostgreSQL."""

import asyncio
import uuid

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.classifier import standin
from tests.services.classifier.desk import Desk, Json, example, examples
from tests.services.classifier.standin import ALIAS, MODEL, StandIn


async def test_create_answers_id_samples_and_tokens_times_iterations(desk: Desk) -> None:
    items = [example("one two three", "a"), example("four five", "b"), example("six", "a")]
    answer = await desk.train({"model": MODEL, "input": items, "num_iters": 7})
    assert answer.status == 200
    assert set(answer.json) == {"classifier_id", "num_samples", "usage"}
    assert uuid.UUID(answer.json["classifier_id"]).version == 4
    assert answer.json["num_samples"] == 3
    assert answer.json["usage"] == {"total_tokens": (3 + 2 + 1) * 7}
    assert answer.tokens == 42
    assert "x-charge-rule" not in answer.headers


async def test_iterations_are_ten_unless_said_and_null_is_not_said(desk: Desk) -> None:
    items = [example("one", "a"), example("two", "b")]
    for fields in ({}, {"num_iters": None, "access": None, "classifier_id": None}):
        answer = await desk.train({"model": MODEL, "input": items, **fields})
        assert answer.tokens == 20


async def test_trained_classifier_tells_its_labels_apart(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog", "horse")
    answer = await desk.classify({"classifier_id": classifier_id, "input": ["a dog", "one cat"]})
    assert [item["prediction"] for item in answer.json["data"]] == ["dog", "cat"]


async def test_update_adds_labels_and_forgets_none(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog")
    for label in ("horse", "fish", "bird"):
        answer = await desk.train({"classifier_id": classifier_id, "input": examples(label)})
        assert answer.status == 200
        assert answer.json["classifier_id"] == classifier_id
    names = ["cat", "dog", "horse", "fish", "bird"]
    answer = await desk.classify({"classifier_id": classifier_id, "input": names})
    assert [item["prediction"] for item in answer.json["data"]] == names
    assert [entry["label"] for entry in answer.json["data"][0]["predictions"]] == names


async def test_update_may_be_a_single_document_of_a_single_label(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog")
    answer = await desk.train({"classifier_id": classifier_id, "input": example("a cow", "cow")})
    assert answer.json["num_samples"] == 1
    [view] = (await desk.get()).json
    assert view["labels"] == ["cat", "dog", "cow"]
    assert view["updated_number"] == 1


async def test_alias_trains_the_model_behind_it(desk: Desk) -> None:
    await desk.trained("cat", "dog", model=ALIAS)
    assert (await desk.get()).json[0]["model_name"] == MODEL


async def test_update_of_anothers_or_of_none_is_404_and_costs_nothing(
    desk: Desk, engine: StandIn
) -> None:
    classifier_id = await desk.trained("cat", "dog", access="public")
    before = len(engine.asked)
    for unknown, key in ((classifier_id, 2), (str(uuid.uuid4()), 1), ("no-id", 1), ("", 1)):
        answer = await desk.train({"classifier_id": unknown, "input": examples("cow")}, key)
        assert (answer.status, answer.void) == (404, True)
        assert "not found or access denied" in answer.json["detail"]
    assert len(engine.asked) == before


async def test_second_update_at_the_same_time_is_409_and_the_first_stands(
    desk: Desk, engine: StandIn
) -> None:
    classifier_id = await desk.trained("cat", "dog")
    await engine.reached.acquire()
    engine.hold.clear()
    both = [
        asyncio.create_task(desk.train({"classifier_id": classifier_id, "input": examples(name)}))
        for name in ("cow", "pig")
    ]
    await engine.reached.acquire()
    await engine.reached.acquire()
    engine.hold.set()
    answers = await asyncio.gather(*both)
    assert sorted(answer.status for answer in answers) == [200, 409]
    [refused] = [answer for answer in answers if answer.status == 409]
    assert refused.void
    assert refused.json["code"] == "CONFLICT_RESOURCE_BUSY"
    [view] = (await desk.get()).json
    assert len(view["labels"]) == 3
    assert view["updated_number"] == 1
    again = await desk.train({"classifier_id": classifier_id, "input": examples("cow", "pig")})
    assert again.status == 200


async def test_update_of_what_was_deleted_meanwhile_is_404(desk: Desk, engine: StandIn) -> None:
    classifier_id = await desk.trained("cat", "dog")
    await engine.reached.acquire()
    engine.hold.clear()
    update = asyncio.create_task(
        desk.train({"classifier_id": classifier_id, "input": examples("cow")})
    )
    await engine.reached.acquire()
    assert (await desk.delete(classifier_id)).status == 200
    engine.hold.set()
    assert (await update).status == 404


async def test_seventeenth_classifier_is_403_even_when_many_are_made_at_once(desk: Desk) -> None:
    body = {"model": MODEL, "input": examples("cat", "dog", each=1)}
    answers = await asyncio.gather(*(desk.train(body) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] * 16 + [403] * 4
    for answer in answers:
        if answer.status == 403:
            assert answer.void
            assert answer.json["code"] == "AUTHZ_RESOURCE_LIMIT_EXCEEDED"
    assert (await desk.train(body, key=2)).status == 200
    classifier_id = (await desk.get()).json[0]["classifier_id"]
    await desk.delete(classifier_id)
    assert (await desk.train(body)).status == 200


async def test_seventeenth_label_is_400_whether_at_once_or_by_and_by(
    desk: Desk, engine: StandIn
) -> None:
    names = [f"label{n}" for n in range(17)]
    at_once = await desk.train({"model": MODEL, "input": examples(*names, each=1)})
    classifier_id = await desk.trained(*names[:16])
    before = len(engine.asked)
    body = {"classifier_id": classifier_id, "input": examples(names[16])}
    for answer in (at_once, await desk.train(body)):
        assert (answer.status, answer.void) == (400, True)
        assert answer.json["code"] == "INPUT_LABEL_LIMIT_EXCEEDED"
    assert len(engine.asked) == before, "what can't be learned is not embedded"


async def test_no_key_owns_no_classifier(desk: Desk) -> None:
    body = {"model": MODEL, "input": examples("cat", "dog")}
    for answer in (await desk.train(body, None), await desk.get(key=None)):
        assert (answer.status, answer.void) == (401, True)


async def test_thousand_and_twenty_four_examples_are_taken_and_one_more_is_not(
    desk: Desk,
) -> None:
    items = [example(f"w{n}", f"label{n % 16}") for n in range(1_024)]
    answer = await desk.train({"model": MODEL, "input": items})
    assert answer.json["num_samples"] == 1_024
    more = await desk.train({"model": MODEL, "input": [*items, example("x", "label1")]})
    assert (more.status, more.void) == (400, True)


async def test_example_of_8192_tokens_is_taken_and_of_one_more_is_not(desk: Desk) -> None:
    def body(words: int) -> Json:
        return {"model": MODEL, "input": [example("w " * words, "a"), example("x", "b")]}

    assert (await desk.train(body(8_192))).tokens == 8_193 * 10
    answer = await desk.train(body(8_193))
    assert (answer.status, answer.void) == (400, True)


@pytest.mark.parametrize("iterations", [1, 1_000, 1_000_000])
async def test_time_of_a_training_does_not_grow_with_its_charge(
    desk: Desk, iterations: int
) -> None:
    items = [example(f"w{n}", f"label{n % 16}") for n in range(64)]
    answer = await asyncio.wait_for(
        desk.train({"model": MODEL, "input": items, "num_iters": iterations}), 60
    )
    assert answer.tokens == 64 * iterations


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=12),
    iterations=st.integers(1, 1_000_000),
    more=st.lists(st.integers(1, 40), min_size=1, max_size=5),
)
async def test_every_training_costs_the_tokens_of_its_own_input_times_iterations(
    desk: Desk, sizes: list[int], iterations: int, more: list[int]
) -> None:
    def items(of: list[int]) -> list[Json]:
        return [example("w " * size, f"label {place % 5}") for place, size in enumerate(of)]

    made = await desk.train({"model": MODEL, "input": items(sizes), "num_iters": iterations})
    assert made.tokens == made.json["usage"]["total_tokens"] == sum(sizes) * iterations
    classifier_id = made.json["classifier_id"]
    body = {"classifier_id": classifier_id, "input": items(more), "num_iters": float(iterations)}
    updated = await desk.train(body)
    assert updated.tokens == updated.json["usage"]["total_tokens"] == sum(more) * iterations
    assert updated.json["num_samples"] == len(more)
    texts = ["w " * size for size in more]
    used = await desk.classify({"classifier_id": classifier_id, "input": texts})
    assert used.tokens == used.json["usage"]["total_tokens"] == sum(more)
    assert (await desk.delete(classifier_id)).status == 200


async def test_vectors_that_are_no_numbers_are_never_learned(
    desk: Desk, engine: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier_id = await desk.trained("cat", "dog")
    monkeypatch.setattr(standin, "embed", lambda texts, width: np.full((len(texts), width), np.nan))
    for body in (
        {"model": MODEL, "input": examples("cat", "dog")},
        {"classifier_id": classifier_id, "input": examples("cat")},
    ):
        answer = await desk.train(body)
        assert (answer.status, answer.void) == (503, True)
    assert len((await desk.get()).json) == 1
