"""Icons of hits: from the page that was read, else from where they usually are."""

import time
from typing import Any

from services.search.favicons import Favicons
from services.search.hits import NO_PAGE, Hit, Page
from services.settings import load
from tests.services.asking import SECRET
from tests.services.search.standins import Standin

PNG = b"\x89PNG\r\n\x1a\n..."
AS_DATA = "data:image/png;base64,iVBORw0KGgouLi4="
USUAL = "data:image/x-icon;base64,AAABAA=="


def naming(icons: dict[str, Any]) -> Page:
    return Page({"external": {"icon": icons}})


async def test_icon_that_a_page_names_goes_before_the_usual_one(standin: Standin) -> None:
    standin.answers["/named.png"] = PNG
    standin.answers["/broken.png"] = b"<html>"
    favicons = Favicons(
        load({"SLUICE_INTERNAL_SECRET": SECRET, "SLUICE_READER_ALLOW": standin.base})
    )
    hit = Hit(f"{standin.base}/a", "A")
    for page, expected in (
        (naming({f"{standin.base}/i.svg": {}, f"{standin.base}/named.png": {}}), AS_DATA),
        (naming({f"{standin.base}/x": {"type": "image/svg+xml"}}), USUAL),
        (naming({f"{standin.base}/broken.png": {}}), USUAL),
        (naming({f"{standin.base}/gone.png": {}}), USUAL),
        (naming({AS_DATA: {}}), AS_DATA),
        (naming({"http://10.0.0.1/i.png": {}}), USUAL),
        (Page({"external": {"icon": "nonsense"}}), USUAL),
        (NO_PAGE, USUAL),
    ):
        found = await favicons.named([hit], [page], [USUAL], time.monotonic() + 5)
        assert found == [expected]
    late = naming({f"{standin.base}/named.png": {}})
    assert await favicons.named([hit], [late], [USUAL], time.monotonic()) == [USUAL]
    favicons.close()
