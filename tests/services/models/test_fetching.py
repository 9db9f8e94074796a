"""Pictures of one request together are bounded, and one that fails stops the others."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from services.models.faults import BadPicture
from services.models.fetching import PictureFetcher
from services.models.inputs import PictureSource
from services.models.pictures import Picture
from services.settings import Settings, parse_origin
from tests.services.images import encoded, solid
from tests.services.site import Site

RED = solid("red")


@pytest.fixture
async def fetcher(settings: Settings, site: Site) -> AsyncIterator[PictureFetcher]:
    origin = parse_origin(site.origin)
    assert not isinstance(origin, str)
    small = replace(
        settings, model_body_bytes=5 * len(RED), reader_allow=frozenset({origin}), image_bytes=4_096
    )
    found = PictureFetcher(small)
    yield found
    found.close()


def at(site: Site, path: str = "/picture.png") -> PictureSource:
    return PictureSource(site.origin + path, "")


async def test_items_come_in_order_with_what_stood_for_them(
    fetcher: PictureFetcher, site: Site
) -> None:
    found = await fetcher.opened(["a", at(site), PictureSource(None, encoded(RED)), "b"])
    assert found == [
        "a",
        Picture(RED, len(site.origin) + len("/picture.png")),
        Picture(RED, len(encoded(RED))),
        "b",
    ]


async def test_pictures_are_bounded_together(fetcher: PictureFetcher, site: Site) -> None:
    assert len(await fetcher.opened([at(site)] * 5)) == 5
    with pytest.raises(BadPicture, match="together"):
        await fetcher.opened([at(site)] * 6)


async def test_one_that_fails_names_itself(fetcher: PictureFetcher, site: Site) -> None:
    with pytest.raises(BadPicture, match=r"Input 1: .* 404"):
        await fetcher.opened([at(site), at(site, "/missing"), "text"])
