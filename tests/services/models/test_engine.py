"""The engine: right vectors, exact counts, shared batches, no request in the way of another."""

import asyncio
import gc
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.models import builtin
from services.models.batches import Piece
from services.models.engine import Engine
from services.models.faults import InputTooLong, ModelUnavailable, NoPictures, UnknownModel
from services.models.local import LocalText
from services.models.pictures import Picture
from services.models.session import Session
from services.models.tokens import Tokens
from services.models.windows import Floats, normalised

LONG = "The river rose in spring and the town moved its market to the hill. " * 400
# Of the loop's own thread, so that a busy machine does not count.
BLOCKED_S = 0.020


def text_model(models: Engine) -> LocalText:
    found = models._models[builtin.NAME]
    assert not isinstance(found, ModelUnavailable)
    assert isinstance(found.text, LocalText)
    return found.text


async def test_vectors_are_of_length_one_and_alike_for_like_texts(models: Engine) -> None:
    found = await models.embed(
        ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Stocks fell on Monday."],
        model="jina-embeddings-v3",
    )
    assert found.model == builtin.NAME
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert found.vectors[0] @ found.vectors[1] > 0.5 > 0.2 > found.vectors[0] @ found.vectors[2]
    assert found.vectors.dtype == np.float32


async def test_text_has_the_same_vector_alone_and_in_company(models: Engine) -> None:
    texts = [f"{'word ' * n}number {n}" for n in range(60)]
    together = await models.embed(texts, model=None)
    for at in (0, 17, 59):
        alone = await models.embed([texts[at]], model=None)
        assert np.abs(alone.vectors[0] - together.vectors[at]).max() < 1e-5
        assert alone.tokens == [together.tokens[at]]


async def test_long_text_is_the_mean_of_its_windows(models: Engine, model_data_dir: Path) -> None:
    folder = builtin.ensure(model_data_dir)
    tokens = Tokens("m", folder / builtin.TOKENIZER)
    session = Session("m", folder / builtin.GRAPH)
    ids = tokens.ids(LONG[:4_000], 10**6)
    edges = [len(ids) * part // 4 for part in range(5)]
    sums = np.zeros(384, np.float32)
    for begin, end in pairwise(edges):
        window = np.concatenate([[101], ids[begin:end], [102]])[None]
        feeds = {"input_ids": window, "attention_mask": np.ones_like(window)}
        [[vector]] = session.run(["pooled"], feeds)
        sums += vector * window.shape[1]
    found = await models.embed([LONG[:4_000]], model=None)
    assert len(ids) > 3 * 254
    assert found.tokens == [len(ids) + 2]
    assert np.abs(found.vectors[0] - normalised(sums[None])[0]).max() < 1e-5


async def test_too_long_is_refused_with_its_place_and_cut_when_asked(models: Engine) -> None:
    with pytest.raises(InputTooLong) as caught:
        await models.embed(["short", LONG * 2], model=None)
    assert (caught.value.index, caught.value.limit) == (1, 8_192)
    assert caught.value.tokens > 8_192
    found = await models.embed(["short", LONG * 2], model=None, truncate=True)
    assert found.tokens == [3, 8_192]


async def test_exactly_the_limit_is_taken(models: Engine) -> None:
    assert (await models.embed(["a " * 8_190], model=None)).tokens == [8_192]
    with pytest.raises(InputTooLong):
        await models.embed(["a " * 8_191], model=None)


async def test_unknown_model_names_the_known_ones(models: Engine) -> None:
    with pytest.raises(UnknownModel) as caught:
        await models.embed(["a"], model="gpt-9")
    assert "jina-embeddings-v3" in caught.value.known
    assert "jina-embeddings-v3" in str(caught.value)


async def test_model_that_cannot_be_loaded_fails_alone(models: Engine) -> None:
    with pytest.raises(ModelUnavailable):
        await models.embed(["a"], model="broken")
    assert models.dimension("jina-embeddings-v3") == 384


async def test_picture_on_a_text_model_is_refused(models: Engine) -> None:
    with pytest.raises(NoPictures):
        await models.embed(["a", Picture(b"", 1)], model=None)


async def test_late_chunks_are_means_of_the_token_vectors_of_the_whole(
    models: Engine, model_data_dir: Path
) -> None:
    texts = ["Berlin is the capital of Germany.", "It has four million people.", "They vote."]
    folder = builtin.ensure(model_data_dir)
    tokens = Tokens("m", folder / builtin.TOKENIZER)
    session = Session("m", folder / builtin.GRAPH)
    contents = [tokens.ids(text, 999) for text in texts]
    whole = np.concatenate([[101], *contents, [102]])[None]
    feeds = {"input_ids": whole, "attention_mask": np.ones_like(whole)}
    [[by_token]] = session.run(["token_vectors"], feeds)
    found = await models.embed(texts, model=None, late_chunking=True)
    start = 1
    for content, vector in zip(contents, found.vectors, strict=True):
        expected = normalised(by_token[start : start + len(content)].mean(axis=0)[None])[0]
        assert np.abs(vector - expected).max() < 1e-5
        start += len(content)
    assert found.tokens == [len(content) + 2 for content in contents]


async def test_late_chunk_knows_its_neighbours_and_a_plain_one_does_not(models: Engine) -> None:
    texts = ["Berlin is the capital of Germany.", "It has almost four million people."]
    question = (await models.embed(["How many people live in Berlin?"], model=None)).vectors[0]
    late = await models.embed(texts, model=None, late_chunking=True)
    plain = await models.embed(texts, model=None)
    assert late.vectors[1] @ question > plain.vectors[1] @ question + 0.1


async def test_late_chunking_of_a_long_text_gives_every_part_a_vector(models: Engine) -> None:
    parts = [f"Part {n} says that {LONG[n * 60 : n * 60 + 200]}" for n in range(60)]
    found = await models.embed([*parts, ""], model=None, late_chunking=True)
    assert np.linalg.norm(found.vectors, axis=1) == pytest.approx([1] * 61, abs=1e-5)
    with pytest.raises(InputTooLong):
        await models.embed([LONG, LONG], model=None, late_chunking=True)


async def test_concurrent_requests_share_batches(
    models: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    compute = LocalText._compute

    def counted(self: LocalText, batch: Sequence[Piece]) -> list[Floats]:
        sizes.append(len(batch))
        time.sleep(0.02)
        return compute(self, batch)

    text = text_model(models)
    monkeypatch.setattr(text._lanes, "_compute", counted.__get__(text))
    await asyncio.gather(*(models.embed([f"request {n}"], model=None) for n in range(64)))
    assert sum(sizes) == 64
    assert len(sizes) < 16


async def test_small_request_overtakes_a_huge_one(models: Engine) -> None:
    huge = asyncio.create_task(models.embed([LONG] * 6, model=None))
    await asyncio.sleep(0.5)
    await models.embed(["a short question"], model=None)
    assert not huge.done()
    huge.cancel()
    with pytest.raises(asyncio.CancelledError):
        await huge


async def test_cancelled_request_leaves_the_queue(models: Engine) -> None:
    lanes = text_model(models)._lanes
    huge = asyncio.create_task(models.embed([LONG] * 10, model=None))
    for _ in range(1_000):
        if lanes._idle == 0:
            break
        await asyncio.sleep(0.01)
    huge.cancel()
    with pytest.raises(asyncio.CancelledError):
        await huge
    assert lanes._queue.take() == []


async def test_loop_is_never_blocked_by_a_thousand_long_texts(models: Engine) -> None:
    texts = [f"{n} {LONG[:2_000]}" for n in range(1_000)]
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    # What other tests have left is not looked through on this loop's time.
    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(watch())
    await models.embed(texts, model="tiny-clip")
    watching.cancel()
    gc.unfreeze()
    assert longest < BLOCKED_S
