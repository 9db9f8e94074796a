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
        {"respondWith": "readerlm-v2+content"},
        {"markdown": {"headingStyle": "big"}},
        {"markdown": {"headingStyle": ["atx"]}},
        {"markdown": {"noSuchStyle": "x"}},
        {"markdown": {"hr": "-" * 129}},
        {"markdown": "atx"},
        {"markdownChunking": "h6"},
        {"setCookies": ["no equals sign"]},
        {"setCookies": "a=\r\nb"},
        {"customHeader": {"Host": "a"}},
        {"customHeader": {"X-A": "a\nb"}},
        {"customHeader": {"X A": "a"}},
        {"viewport": {"width": 0}},
        {"instruction": "sum up"},
        {"jsonSchema": {}},
        {"proxyUrl": "ftp://proxy.example"},
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
        ("X-Engine", "cf-browser-rendering"),
        ("X-Respond-With", "readerlm-v2"),
        ("X-Respond-With", "vlm"),
        ("X-With-Generated-Alt", "true"),
        ("X-Proxy-Url", "socks5://proxy.example:1080"),
        ("X-Proxy", "auto"),
        ("X-Proxy", "de"),
    ],
)
async def test_options_that_are_not_here_are_said_and_free(
    reader: Asker, site: Site, name: str, value: str
) -> None:
    answer = await reader.get(f"/{site.origin}/page/links", {name: value})
    assert answer.status == 400
    assert "not available on this deployment" in answer.json["message"]
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
        ("X-With-Iframe", "true"),
        ("X-With-Shadow-Dom", "true"),
        ("X-Remove-Overlay", "true"),
        ("X-Markdown-Chunking", "h2"),
        ("X-No-Gfm", "true"),
        ("X-Md-Heading-Style", "setext"),
        ("X-Set-Cookie", "a=b"),
    ],
)
async def test_harmless_options_are_taken(reader: Asker, site: Site, name: str, value: str) -> None:
    assert (await reader.get(f"/{site.origin}/page/links", {name: value})).status == 200
