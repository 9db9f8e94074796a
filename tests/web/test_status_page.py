"""The status page when something is wrong: it says so, and goes on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from gateway.control.web.texts import Texts
from tests.control.rig import Door
from tests.web.browser import Browser

Open = Callable[..., AbstractAsyncContextManager[Door]]


async def test_status_page_names_the_store_that_is_away_and_what_that_means(
    open_door: Open,
) -> None:
    words = Texts().of("en")
    async with open_door(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing") as door:
        told = await Browser(door.port).open("/status")
    assert told.status == 200
    assert words["status"]["degraded"] in told.text
    assert words["status"]["postgres_away"] in told.text
    assert words["status"]["redis_away"] not in told.text
    # There is no history at the moment, which is not the same as that nothing was measured.
    assert words["away"] in told.text
    assert words["status"]["nothing"] not in told.text


async def test_status_page_says_that_nothing_was_measured_before_it_says_that_all_is_well(
    door: Door, browser: Browser
) -> None:
    words = Texts().of("en")["status"]
    told = await browser.open("/status")
    assert words["nothing"] in told.text
    assert words["ok_text"] not in told.text
