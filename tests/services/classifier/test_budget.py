"""A cap below the cost is refused before a vector is computed, and nothing is learned of it."""

import pytest

from tests.services.asking import Answer
from tests.services.classifier.desk import Desk, examples
from tests.services.classifier.standin import MODEL, StandIn


def refused(answer: Answer, cost: int) -> None:
    assert (answer.status, answer.json["code"]) == (400, "MAX_CHARGE_TOO_LOW")
    assert answer.json["needed_tokens"] == cost
    assert answer.void


@pytest.mark.parametrize("is_remote", [False, True])
async def test_training_is_refused_below_its_cost_times_iterations(
    desk: Desk, engine: StandIn, *, is_remote: bool
) -> None:
    """Where only the embedding tells the cost, it is refused after that, and not learned."""
    engine.is_remote = is_remote
    body = {"model": MODEL, "input": examples("cat", "dog", each=2), "num_iters": 3}
    refused(await desk.ask("POST", "/v1/train", body, budget=35), 36)
    assert bool(engine.asked) is is_remote
    assert (await desk.get()).json == []
    answer = await desk.ask("POST", "/v1/train", body, budget=36)
    assert (answer.status, answer.tokens) == (200, 36)
    body = {"classifier_id": answer.json["classifier_id"], "input": body["input"], "num_iters": 3}
    refused(await desk.ask("POST", "/v1/train", body, budget=35), 36)


@pytest.mark.parametrize("is_remote", [False, True])
async def test_classifying_is_refused_below_its_cost(
    desk: Desk, engine: StandIn, *, is_remote: bool
) -> None:
    few = {"classifier_id": await desk.trained(), "input": ["cat cat", "dog"]}
    zero = {"model": MODEL, "input": ["cat cat", "dog"], "labels": ["a pet", "prey"]}
    engine.is_remote = is_remote
    for body, cost in ((few, 3), (zero, 6)):
        engine.asked.clear()
        refused(await desk.ask("POST", "/v1/classify", body, budget=cost - 1), cost)
        assert bool(engine.asked) is is_remote
        answer = await desk.ask("POST", "/v1/classify", body, budget=cost)
        assert (answer.status, answer.tokens) == (200, cost)
