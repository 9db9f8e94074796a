"""Options that are wrong, not there yet, or harmless: said, said, and taken; never ignored."""

import pytest

from tests.services.asking import Asker
from tests.services.site import Site


@pytest.mark.parametrize(
    "fields",
    [
        {"timeout": 0},
        {"timeout": 181},
        {"timeout": -1},
        {"timeout": True},
        {"timeout": [1]},
        {"tokenBudget": 0},
        {"tokenBudget": "many"},
        {"maxTokens": 499},
        {"maxTokens": 1e300},
        {"targetSelector": 5},
        {"targetSelector": ["a", 5]},
        {"respondWith": "everything"},
        {"respondWith": 5},
        {"engine": "warp"},
        {"retainImages": "some"},
        {"respondTiming": "never"},
        {"base": "middle"},
        {"userAgent": "a\nb"},
        {"referer": "ü"},
        {"respondWith": "content+markdown"},
    ],
)
async def test_wrong_options_are_400_and_free(
    reader: Asker, site: Site, fields: dict[str, object]
) -> None:
    answer = await reader.post("/", {"url": f"{site.origin}/page/links", **fields})
    assert answer.status == 400, answer.text
    assert answer.json["status"] == 40001
    assert answer.void


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Engine", "browser"),
        ("X-Engine", "cf-browser-rendering"),
        ("X-Respond-With", "screenshot"),
        ("X-Respond-With", "pageshot"),
        ("X-Respond-With", "readerlm-v2"),
        ("X-With-Generated-Alt", "true"),
        ("X-With-Iframe", "true"),
        ("X-With-Shadow-Dom", "true"),
        ("X-Proxy-Url", "http://proxy.example:3128"),
        ("X-Proxy", "auto"),
        ("X-Robots-Txt", "MyBot"),
        ("X-Set-Cookie", "a=b"),
        ("X-Markdown-Chunking", "h2"),
        ("X-No-Gfm", "true"),
        ("X-Md-Heading-Style", "setext"),
        ("X-Remove-Overlay", "true"),
    ],
)
async def test_options_that_are_not_there_yet_are_said_and_free(
    reader: Asker, site: Site, name: str, value: str
) -> None:
    answer = await reader.get(f"/{site.origin}/page/links", {name: value})
    assert answer.status == 400
    assert "is not available on this deployment" in answer.json["message"]
    assert answer.void


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Engine", "direct"),
        ("X-Engine", "auto"),
        ("X-Respond-With", ""),
        ("X-Target-Selector", ""),
        ("X-Timeout", "soon"),
        ("X-Timeout", "99999"),
        ("X-Proxy", "none"),
        ("X-Remove-Overlay", "false"),
        ("X-No-Cache", "true"),
        ("X-Cache-Tolerance", "0"),
        ("X-Respond-Timing", "html"),
        ("DNT", "1"),
    ],
)
async def test_harmless_options_are_taken(reader: Asker, site: Site, name: str, value: str) -> None:
    assert (await reader.get(f"/{site.origin}/page/links", {name: value})).status == 200
