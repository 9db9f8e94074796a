"""Options that concern the fetch: cookies, own headers, proxies, robots.txt, frames, alt texts."""

import pytest

from services.reader import robots
from tests.services.asking import Asker
from tests.services.canary import Canary
from tests.services.reader.canal import ROBOTS, Proxy
from tests.services.reader.model import Model
from tests.services.site import Site

JSON = {"Accept": "application/json"}


async def test_cookies_go_to_the_target_and_nothing_comes_back(
    boat: Asker, canal_site: Site
) -> None:
    path = f"/{canal_site.origin}/echo"
    answer = await boat.get(path, {"X-Set-Cookie": "a=1; Path=/, b=2; Path=/other, c=x y; Secure"})
    assert answer.status == 200
    assert canal_site.requests[-1][1]["Cookie"] == "a=1"
    fields = {"url": f"{canal_site.origin}/echo", "setCookies": ["d=4; Domain=127.0.0.1", "e=5"]}
    assert (await boat.post("/", fields)).status == 200
    assert canal_site.requests[-1][1]["Cookie"] == "d=4; e=5"
    assert (await boat.get(path)).status == 200
    assert "Cookie" not in canal_site.requests[-1][1]


async def test_cookies_of_another_domain_stay_here(boat: Asker, canal_site: Site) -> None:
    header = {"X-Set-Cookie": "a=1; Domain=other.example"}
    assert (await boat.get(f"/{canal_site.origin}/echo?2", header)).status == 200
    assert "Cookie" not in canal_site.requests[-1][1]


async def test_own_headers_go_to_the_host_that_was_named(boat: Asker, canal_site: Site) -> None:
    url = f"{canal_site.origin}/onward?to=/echo"
    fields = {"url": url, "customHeader": {"X-Mine": "yes", "Authorization": "Bearer t"}}
    assert (await boat.post("/", fields)).status == 200
    sent = canal_site.requests[-1][1]
    assert (sent["X-Mine"], sent["Authorization"]) == ("yes", "Bearer t")


async def test_proxy_of_the_client_is_used_and_judged(
    boat: Asker, proxy: Proxy, canal_site: Site, canary: Canary
) -> None:
    header = {"X-Proxy-Url": f"http://us%40er:pass@127.0.0.1:{proxy.port}"}
    answer = await boat.get(f"/{canal_site.origin}/echo", header)
    assert "By way of the proxy." in answer.text
    assert proxy.asked[-1].startswith(f"GET {canal_site.origin}/echo HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic dXNAZXI6cGFzcw==" in proxy.asked[-1]
    assert "pass" not in answer.text
    private = {"X-Proxy-Url": f"http://127.0.0.1:{canary.port}"}
    refused = await boat.get(f"/{canal_site.origin}/echo", private)
    assert refused.status == 451
    through = await boat.get(f"/http://127.0.0.1:{canary.port}/", header)
    assert through.status == 451
    assert canary.connections == 0


@pytest.mark.parametrize(
    ("path", "agent", "status"),
    [
        ("/echo", "AnyBot", 200),
        ("/private/x", "AnyBot", 409),
        ("/private/open/x", "AnyBot", 200),
        ("/run.cgi", "AnyBot/2.0", 409),
        ("/run.cgi?x", "AnyBot", 200),
        ("/private/x", "GoodBot", 200),
        ("/private/x", "otherbot/1.0 (x)", 200),
    ],
)
async def test_robots_txt_is_obeyed_when_asked(
    boat: Asker, canal_site: Site, path: str, agent: str, status: int
) -> None:
    answer = await boat.get(f"/{canal_site.origin}{path}", {"X-Robots-Txt": agent})
    assert answer.status == status, answer.text
    if status == 409:
        assert answer.json["status"] == 40902
        assert answer.json["name"] == "ResourcePolicyDenyError"
        assert answer.void


@pytest.mark.parametrize(
    ("rules", "path", "allowed"),
    [
        ("", "/a", True),
        ("User-agent: *\nDisallow: /", "/a", False),
        ("User-agent: *\nDisallow: /a\nAllow: /a", "/a", True),
        ("User-agent: *\nDisallow: /a*c", "/abbc", False),
        ("User-agent: *\nDisallow: /a*c$", "/abbcd", True),
        ("User-agent: *\nDisallow: /*a*a*a*a*a*a*b", "/" + "a" * 5000, True),
        ("Disallow: /", "/a", True),
        ("User-agent: x\nDisallow: /\n\nUser-agent: *\nAllow: /", "/a", True),
        ("user-agent:*\ndisallow:/%61", "/a", False),
        ("nonsense\x00\nUser-agent *\n", "/a", True),
    ],
)
def test_longest_rule_decides(rules: str, path: str, *, allowed: bool) -> None:
    assert robots.allows(rules, "MyBot", path) is allowed


def test_empty_disallow_allows_everything() -> None:
    assert robots.allows(ROBOTS, "GoodBot", "/private/x")


@pytest.mark.parametrize(("value", "piece"), [("true", "\nInside, "), ("quoted", "\n> Inside, ")])
async def test_frames_are_read_in_their_places(
    boat: Asker, canal_site: Site, canary: Canary, value: str, piece: str
) -> None:
    url = f"{canal_site.origin}/framed?other=http://127.0.0.1:{canary.port}/"
    fields = {"url": url, "withIframe": value, "respondWith": "markdown"}
    text = (await boat.post("/", fields)).text
    assert f"{piece}[a link]({canal_site.origin}/here)." in text
    assert text.index("Around") < text.index("Inside") < text.index("Written within")
    assert text.index("Written within") < text.index("After them")
    assert canary.connections == 0


async def test_hidden_frames_are_said_where_there_is_little_else(
    boat: Asker, canal_site: Site
) -> None:
    text = (await boat.get(f"/{canal_site.origin}/framed")).text
    assert "Warning: This page contains iframe that are currently hidden" in text
    assert "Inside" not in text


async def test_images_without_text_get_one_from_the_model(
    boat: Asker, canal_site: Site, model: Model
) -> None:
    path = f"/{canal_site.origin}/pictured"
    answer = await boat.get(path, {"X-With-Generated-Alt": "true", "X-Retain-Images": "none"})
    assert f"![Image 1: A small black square.]({canal_site.origin}/picture.png)" in answer.text
    assert "![Image 2: Named](" in answer.text
    assert "![Image 3](http://10.0.0.1/x.png)" in answer.text
    assert answer.tokens >= 765
    assert len(model.asked) == 1
    key, asked = model.asked[0]
    assert key == "Bearer vision key"
    assert asked["model"] == "see-1"
    assert asked["messages"][0]["content"][1]["image_url"]["url"].startswith("data:image/png;base")


async def test_an_encoded_line_end_in_the_path_is_part_of_the_target(
    boat: Asker, canal_site: Site
) -> None:
    answer = await boat.get(f"/{canal_site.origin}/two%0Alines", {"Accept": "application/json"})
    assert answer.status == 200
    assert answer.json["data"]["url"].endswith("/two%0Alines")
