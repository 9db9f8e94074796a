"""Whatever a client sends is routed or refused, the reader's target untouched, in microseconds."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.hosts import Route, Router
from gateway.products.builtin import load_catalogue
from gateway.products.product import Family

ROUTER = Router(load_catalogue(None), "localhost")
BARE = "127.0.0.1:8080"

HOSTS = st.sampled_from(["r.x", "s.x", "api.x", "deepsearch.x", "dash.x", "segment.x", BARE, ""])
METHODS = st.sampled_from(["GET", "POST", "DELETE", "OPTIONS", "HEAD", "BREW", ""])
TARGETS = st.text(max_size=40) | st.builds(
    "/{}/{}".format, st.sampled_from(["r", "s", "v1", "v1/keys", ""]), st.text(max_size=30)
)


@given(host=HOSTS | st.text(max_size=20), method=METHODS, target=TARGETS)
def test_any_request_gets_a_route_or_a_4xx(host: str, method: str, target: str) -> None:
    found = ROUTER.route(host, method, target)
    assert isinstance(found, Route) or 400 <= found.status < 500
    assert ROUTER.family(host, target) in Family


@given(rest=st.text(st.characters(codec="latin-1", exclude_characters="\r\n "), max_size=60))
def test_readers_target_reaches_the_service_untouched(rest: str) -> None:
    target = f"/https://{rest}"
    for host, path in (("r.x", target), (BARE, f"/r{target}")):
        route = ROUTER.route(host, "GET", path)
        assert isinstance(route, Route)
        assert route.upstream_path == target
