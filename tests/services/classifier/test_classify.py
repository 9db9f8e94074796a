"""POST /v1/classify: shapes, scores and tokens of both kinds; over HTTP."""

import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.classifier.conftest import opened
from tests.services.classifier.desk import Desk, examples
from tests.services.classifier.standin import ALIAS, MODEL, StandIn, tokens

WORDS = st.text("abcdefg é漢", min_size=1, max_size=12).filter(lambda text: text.strip() != "")


async def test_zero_shot_answer_has_the_shape_of_the_contract(desk: Desk) -> None:
    labels = ["Simple task", "intensive task", "Creative writing", "Simple task"]
    body = {"model": MODEL, "input": ["a creative task", {"text": "simple"}], "labels": labels}
    answer = await desk.classify(body)
    assert answer.status == 200
    assert list(answer.json) == ["usage", "data"]
    # Inputs 3 + 1, distinct labels 2 + 2 + 2.
    assert answer.json["usage"] == {"total_tokens": 10}
    assert answer.tokens == 10
    for index, item in enumerate(answer.json["data"]):
        assert list(item) == ["object", "index", "prediction", "score", "predictions"]
        assert item["object"] == "classification"
        assert item["index"] == index
        assert [entry["label"] for entry in item["predictions"]] == labels[:3]
        scores = [entry["score"] for entry in item["predictions"]]
        assert item["score"] == max(scores)
        assert item["prediction"] == labels[scores.index(max(scores))]
        assert math.isclose(sum(scores), 1.0, abs_tol=1e-9)


async def test_few_shot_answer_has_the_same_shape_and_counts_inputs_only(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog", "cow")
    answer = await desk.classify({"classifier_id": classifier_id, "input": "one big dog"})
    [item] = answer.json["data"]
    assert list(item) == ["object", "index", "prediction", "score", "predictions"]
    assert [entry["label"] for entry in item["predictions"]] == ["cat", "dog", "cow"]
    assert item["prediction"] == "dog"
    assert math.isclose(sum(entry["score"] for entry in item["predictions"]), 1.0, abs_tol=1e-6)
    assert answer.json["usage"] == {"total_tokens": 3}
    assert answer.tokens == 3


async def test_groups_of_labels_give_every_part_by_group(desk: Desk) -> None:
    groups = {"animal": ["cat", "dog", "cat"], "size of it": ["big", "small"]}
    body = {"model": MODEL, "input": ["big dog", "small cat"], "labels": groups}
    answer = await desk.classify(body)
    first, second = answer.json["data"]
    assert first["prediction"] == {"animal": "dog", "size of it": "big"}
    assert second["prediction"] == {"animal": "cat", "size of it": "small"}
    assert list(first["predictions"]) == ["animal", "size of it"]
    for group, entries in first["predictions"].items():
        assert math.isclose(sum(entry["score"] for entry in entries), 1.0, abs_tol=1e-9)
        assert first["score"][group] == max(entry["score"] for entry in entries)
    assert answer.tokens == 4 + 4


async def test_label_of_two_groups_counts_once(desk: Desk) -> None:
    groups = {"one": ["cat", "dog"], "two": ["dog", "cow"]}
    answer = await desk.classify({"model": MODEL, "input": "x", "labels": groups})
    assert answer.tokens == 1 + 3


async def test_label_costs_the_same_when_its_vector_is_remembered(
    desk: Desk, engine: StandIn
) -> None:
    body = {"model": ALIAS, "input": "x y", "labels": ["red cat", "dog"]}
    first = await desk.classify(body)
    asked = len(engine.asked)
    second = await desk.classify({**body, "model": MODEL})
    assert first.tokens == second.tokens == 5
    assert first.json == second.json
    assert engine.asked[asked:] == ["x y"], "only the input was embedded again"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(WORDS, min_size=1, max_size=5),
    labels=st.lists(WORDS, min_size=2, max_size=8, unique=True),
    repeats=st.integers(0, 3),
)
async def test_zero_shot_counts_inputs_and_each_distinct_label_once(
    texts: list[str], labels: list[str], repeats: int
) -> None:
    async with opened(None, StandIn()) as desk:
        given_labels = labels + labels[:1] * repeats
        body = {"model": MODEL, "input": texts, "labels": given_labels}
        answer = await desk.classify(body)
    assert answer.tokens == sum(map(tokens, texts)) + sum(map(tokens, labels))
    assert answer.json["usage"]["total_tokens"] == answer.tokens
    for item in answer.json["data"]:
        assert [entry["label"] for entry in item["predictions"]] == labels
        assert math.isclose(sum(e["score"] for e in item["predictions"]), 1.0, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("labels", "status"),
    [
        ([f"l{n}" for n in range(256)], 200),
        ([f"l{n}" for n in range(257)], 400),
        (["same", "other"] * 300, 200),
        (["same", "same"], 400),
        ({f"g{n}": [f"l{n}{m}" for m in range(64)] for n in range(8)}, 200),
        ({f"g{n}": ["a", "b"] for n in range(9)}, 400),
        ({"g": [f"l{m}" for m in range(65)]}, 400),
        ({"g": ["one"]}, 400),
    ],
)
async def test_labels_are_taken_up_to_the_published_numbers(
    desk: Desk, labels: object, status: int
) -> None:
    answer = await desk.classify({"model": MODEL, "input": "x", "labels": labels})
    assert answer.status == status
    assert answer.void == (status == 400)


async def test_picture_for_a_model_of_texts_is_400(desk: Desk) -> None:
    classifier_id = await desk.trained("cat", "dog")
    picture = [{"image": "iVBORw0KGgo="}]
    for body in (
        {"model": MODEL, "input": picture, "labels": ["a", "b"]},
        {"classifier_id": classifier_id, "input": picture},
    ):
        answer = await desk.classify(body)
        assert (answer.status, answer.void) == (400, True)


async def test_public_classifier_works_for_anyone_and_a_private_one_for_its_owner(
    desk: Desk,
) -> None:
    public = await desk.trained("cat", "dog", access="public")
    private = await desk.trained("cat", "dog")
    for key in (1, 2, None):
        body = {"classifier_id": public, "input": "a dog"}
        assert (await desk.classify(body, key)).json["data"][0]["prediction"] == "dog"
        status = (await desk.classify({**body, "classifier_id": private}, key)).status
        assert status == (200 if key == 1 else 404)
    assert (await desk.get(key=2)).json == []
    assert (await desk.get(f"/v1/classifiers/{public}", key=2)).status == 404


async def test_stranger_learns_nothing_of_a_classifier_whose_model_is_gone(
    database: str,
) -> None:
    async with opened(database, StandIn()) as desk:
        classifier_id = await desk.trained("cat", "dog", access="public")
    for engine in (StandIn(model="another"), StandIn(dimension=32)):
        async with opened(database, engine) as desk:
            for key in (1, 2):
                body = {"classifier_id": classifier_id, "input": "x"}
                answer = await desk.classify(body, key)
                assert (answer.status, answer.void) == (400, True)
                assert MODEL not in answer.text
                assert "train anew" in answer.json["detail"]
            update = {"classifier_id": classifier_id, "input": examples("cow")}
            assert (await desk.train(update)).status == 400


async def test_update_by_another_process_is_seen_at_once(database: str) -> None:
    async with opened(database, StandIn()) as one, opened(database, StandIn()) as other:
        classifier_id = await one.trained("cat", "dog")
        body = {"classifier_id": classifier_id, "input": "a cow"}
        assert len((await one.classify(body)).json["data"][0]["predictions"]) == 2
        await other.train({"classifier_id": classifier_id, "input": examples("cow")})
        assert (await one.classify(body)).json["data"][0]["prediction"] == "cow"
        await other.delete(classifier_id)
        assert (await one.classify(body)).status == 404


async def test_answer_that_the_gateway_could_not_take_is_refused_before_any_work(
    desk: Desk, engine: StandIn
) -> None:
    labels = [f"{n} " + "x" * 900 for n in range(256)]
    body = {"model": MODEL, "input": ["x"] * 1_024, "labels": labels}
    answer = await desk.classify(body)
    assert (answer.status, answer.void) == (400, True)
    assert engine.asked == []


async def test_unknown_model_is_400_and_lists_the_known_ones(desk: Desk) -> None:
    for answer in (
        await desk.classify({"model": "nosuch", "input": "x", "labels": ["a", "b"]}),
        await desk.train({"model": "nosuch", "input": examples("a", "b")}),
    ):
        assert (answer.status, answer.void) == (400, True)
        assert MODEL in answer.json["detail"]
