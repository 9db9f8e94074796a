"""Pictures: by address and by value, through the reader's guard, bounded in bytes and pixels."""

import itertools
from typing import Any

import numpy as np
import pytest

from tests.services import images, ssrf
from tests.services.asking import Answer, Asker
from tests.services.canary import Canary
from tests.services.site import Site

PATH = "/v1/embeddings"
RED, BLUE = images.solid("red"), images.solid("blue")


async def ask(api: Asker, *items: Any) -> Answer:
    return await api.post(PATH, {"model": "tiny-clip", "input": list(items)})


def vectors(answer: Answer) -> Any:
    assert answer.status == 200, answer.text
    return np.array([entry["embedding"] for entry in answer.json["data"]], np.float32)


async def test_every_form_of_a_picture_is_the_same_picture(api: Asker, site: Site) -> None:
    encoded = images.encoded(RED)
    answer = await ask(
        api,
        {"image": encoded},
        {"bytes": encoded},
        {"image": f"data:image/png;base64,{encoded}"},
        {"url": f"{site.origin}/picture.png"},
        {"image": f"{site.origin}/picture.png"},
    )
    found = vectors(answer)
    assert np.abs(found - found[0]).max() < 1e-6
    assert answer.json["model"] == "tiny-clip"


async def test_pictures_and_texts_mix_on_a_model_for_both(api: Asker) -> None:
    answer = await ask(api, "a red picture", {"image": images.encoded(RED)}, {"text": "blue"})
    found = vectors(answer)
    alone = vectors(await ask(api, "a red picture"))
    assert found.shape == (3, 12)
    assert np.abs(found[0] - alone[0]).max() < 1e-6


async def test_colours_are_told_apart_whatever_the_size_and_format(api: Asker) -> None:
    red = [images.solid("red", (64, 64), kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    found = vectors(
        await ask(api, *({"image": images.encoded(picture)} for picture in [*red, BLUE]))
    )
    assert (found[:5] @ found[0]).min() > 0.98
    assert found[5] @ found[0] < 0.9


async def test_first_frame_stands_for_a_moving_picture(api: Asker) -> None:
    found = vectors(
        await ask(api, {"image": images.encoded(images.moving())}, {"image": images.encoded(RED)})
    )
    assert found[0] @ found[1] > 0.98


async def test_picture_costs_no_more_than_the_bytes_it_came_in(api: Asker, site: Site) -> None:
    url = f"{site.origin}/picture.png"
    assert (await ask(api, {"url": url})).tokens == len(url)
    assert (
        await ask(api, {"image": images.encoded(images.solid("red", (400, 300)))})
    ).tokens <= 1000


async def test_no_spelling_of_a_private_target_reaches_it(api: Asker, canary: Canary) -> None:
    urls = [url for url in ssrf.urls(canary.port) if url.lower().startswith("http")]
    for url in itertools.islice(urls, 0, None, 8):
        answer = await ask(api, {"url": url})
        assert (answer.status, answer.void) in ((400, True), (422, True)), url
    assert canary.connections == 0


async def test_redirect_to_a_private_target_is_refused(
    api: Asker, site: Site, canary: Canary
) -> None:
    inner = f"http://127.0.0.1:{canary.port}/"
    answer = await ask(api, {"url": f"{site.origin}/redirect?to={inner}"})
    assert answer.status == 400
    assert canary.connections == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no image"),
        (b"hello, this is no picture", "no image"),
        (RED[:50], "damaged"),
        (RED[:8], "image"),
        (images.bomb(50_000, 50_000), "pixels"),
        (images.bomb(2**31 - 1, 2**31 - 1), "image"),
        (images.bomb(1_001, 1_000), "pixels"),
        (images.solid("red", (4_000, 2)), "pixels is not taken"),
        (images.bomb(900, 900), "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image"),
        (RED + b"\0" * 300_000, "larger than"),
    ],
)
async def test_hostile_picture_is_refused(content: bytes, said: str, api: Asker) -> None:
    answer = await ask(api, "a text", {"image": images.encoded(content)})
    assert (answer.status, answer.void) == (400, True), answer.text
    assert "Input 1" in answer.json["detail"]
    assert said in answer.json["detail"]


@pytest.mark.parametrize("text", ["no base64!", "aGFsbG8", "äöü", ""])
async def test_text_that_is_no_base64_is_refused(text: str, api: Asker) -> None:
    answer = await ask(api, {"bytes": text})
    assert (answer.status, answer.void) == (400, True)


@pytest.mark.parametrize("path", ["/missing", "/plain.txt", "/bomb"])
async def test_address_without_a_picture_is_refused(path: str, api: Asker, site: Site) -> None:
    answer = await ask(api, {"url": site.origin + path})
    assert (answer.status, answer.void) == (400, True)


async def test_picture_on_a_text_model_is_refused_unfetched(api: Asker, site: Site) -> None:
    seen = len(site.requests)
    answer = await api.post(PATH, {"input": ["a", {"url": f"{site.origin}/picture.png"}]})
    assert (answer.status, answer.void) == (400, True)
    assert "text only" in answer.json["detail"]
    assert len(site.requests) == seen
