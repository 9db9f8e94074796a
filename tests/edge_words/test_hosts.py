"""Every request finds its product by host label or by path, and every other one a helpful 4xx."""

import pytest

from gateway.edge.doors import Kind
from gateway.edge.hosts import Route, Router
from gateway.errors import Problem
from gateway.products.builtin import builtin_text, load_catalogue
from gateway.products.catalogue import load
from gateway.products.product import Family

ROUTER = Router(load_catalogue(None), "localhost")
BARE = "127.0.0.1:8080"


def routed(host: str, method: str, path: str) -> Route:
    route = ROUTER.route(host, method, path)
    assert isinstance(route, Route), route
    return route


def refused(host: str, method: str, path: str) -> Problem:
    problem = ROUTER.route(host, method, path)
    assert isinstance(problem, Problem), problem
    return problem


@pytest.mark.parametrize(
    ("host", "method", "path", "product", "upstream"),
    [
        ("r.localhost", "GET", "/https://a.example/x?y=z", "reader", "/https://a.example/x?y=z"),
        ("r.localhost", "GET", "/https%3A%2F%2Fa.b%2F%3Fc", "reader", "/https%3A%2F%2Fa.b%2F%3Fc"),
        ("R.LOCALHOST:8080", "GET", "/example.com", "reader", "/example.com"),
        ("r.anything.example", "POST", "/", "reader", "/"),
        ("r.localhost", "GET", "/?url=https://a.b", "reader", "/?url=https://a.b"),
        ("r.localhost", "GET", "//a.b/c//d", "reader", "//a.b/c//d"),
        ("r.localhost", "GET", "/v1/embeddings", "reader", "/v1/embeddings"),
        (
            BARE,
            "GET",
            "/r/https://a.b/?c=/v1/embeddings",
            "reader",
            "/https://a.b/?c=/v1/embeddings",
        ),
        (BARE, "POST", "/r", "reader", "/"),
        (BARE, "GET", "/r?url=x", "reader", "/?url=x"),
        (BARE, "GET", "/r//x", "reader", "//x"),
        ("s.localhost", "GET", "/what%20is?num=5", "search", "/what%20is?num=5"),
        ("s.localhost", "GET", "/search?q=x", "search", "/search?q=x"),
        ("s.localhost", "POST", "/search", "search", "/search"),
        ("s.localhost", "GET", "/health", "search", "/health"),
        (BARE, "GET", "/s/what?gl=de", "search", "/what?gl=de"),
        ("deepsearch.x", "POST", "/v1/chat/completions", "deepsearch", "/v1/chat/completions"),
        (BARE, "POST", "/v1/chat/completions", "deepsearch", "/v1/chat/completions"),
        ("api.localhost", "POST", "/v1/embeddings", "embeddings", "/v1/embeddings"),
        ("api.localhost", "POST", "/v1/embeddings?a=b", "embeddings", "/v1/embeddings?a=b"),
        ("api.localhost", "POST", "/v1/embeddings/", "embeddings", "/v1/embeddings"),
        ("api.localhost", "POST", "//v1/embeddings", "embeddings", "/v1/embeddings"),
        ("api.localhost", "POST", "/v1/rerank", "rerank", "/v1/rerank"),
        ("api.localhost", "POST", "/v1/train", "train", "/v1/train"),
        ("api.localhost", "GET", "/v1/segment?content=x", "segment", "/v1/segment?content=x"),
        ("segment.localhost", "POST", "/", "segment", "/v1/segment"),
        ("segment.localhost", "GET", "/?content=x", "segment", "/v1/segment?content=x"),
        (BARE, "POST", "/v1/segment", "segment", "/v1/segment"),
        ("", "POST", "/v1/rerank", "rerank", "/v1/rerank"),
        ("[::1]:8080", "POST", "/v1/rerank", "rerank", "/v1/rerank"),
        ("unknown.example", "POST", "/v1/rerank", "rerank", "/v1/rerank"),
        (BARE, "GET", "http://r.localhost/https://a.b", "reader", "/https://a.b"),
        (BARE, "POST", "HTTP://api.x:80/v1/rerank", "rerank", "/v1/rerank"),
    ],
)
def test_request_finds_its_product(
    host: str, method: str, path: str, product: str, upstream: str
) -> None:
    route = routed(host, method, path)
    assert route.kind is Kind.PRODUCT
    assert route.product is not None
    assert (route.product.name, route.upstream_path) == (product, upstream)
    assert route.candidates == (route.product,)
    assert route.service == route.product.service
    assert route.needs_key is route.product.needs_key


@pytest.mark.parametrize("host", ["api.localhost", BARE])
def test_classify_names_both_candidates_and_leaves_it_to_the_body(host: str) -> None:
    route = routed(host, "POST", "/v1/classify?x=1")
    assert route.product is None
    assert [each.body_field for each in route.candidates] == ["classifier_id", "labels"]
    assert (route.service, route.upstream_path) == ("classifier", "/v1/classify?x=1")
    assert route.needs_key


@pytest.mark.parametrize(
    ("host", "path", "name"),
    [
        ("r.localhost", "/", "reader"),
        ("r.localhost", "/?", "reader"),
        ("r.localhost", "/?url=", "reader"),
        ("r.localhost", "/?x=url=", "reader"),
        (BARE, "/r", "reader"),
        (BARE, "/r/", "reader"),
        ("s.localhost", "/", "search"),
        ("s.localhost", "/search", "search"),
        (BARE, "/s/search?num=5", "search"),
    ],
)
def test_front_page_of_reader_and_search_is_the_index(host: str, path: str, name: str) -> None:
    route = routed(host, "GET", path)
    assert (route.kind, route.name, route.family) == (Kind.INDEX, name, Family.READER)


@pytest.mark.parametrize(
    ("host", "method", "path", "kind", "name", "needs_key"),
    [
        (BARE, "POST", "/v1/keys", Kind.CONTROL, "keys.mint", False),
        ("api.localhost", "GET", "/v1/keys/me", Kind.CONTROL, "keys.show", True),
        (BARE, "DELETE", "/v1/keys/me", Kind.CONTROL, "keys.revoke", True),
        (BARE, "GET", "/v1/keys/me/usage?days=30", Kind.CONTROL, "keys.usage", True),
        (BARE, "POST", "/v1/keys/me/transfer", Kind.CONTROL, "keys.transfer", True),
        (BARE, "GET", "/v1/billing/packs", Kind.CONTROL, "billing.packs", False),
        (BARE, "POST", "/v1/billing/webhook", Kind.CONTROL, "billing.webhook", False),
        (BARE, "GET", "/health", Kind.PROBE, "health", False),
        ("r.localhost", "GET", "/health", Kind.PROBE, "health", False),
        ("dash.localhost", "GET", "/ready", Kind.PROBE, "ready", False),
        ("api.localhost", "GET", "/", Kind.PROBE, "health", False),
        ("deepsearch.x", "GET", "/ping", Kind.PROBE, "ping", False),
        ("segment.x", "GET", "/live", Kind.PROBE, "live", False),
        (BARE, "GET", "/", Kind.WEB, "page.front", False),
        ("dash.x", "GET", "/", Kind.WEB, "page.front", False),
        ("dash.x", "POST", "/api/v1/api_key", Kind.CONTROL, "dash.mint", False),
        ("dash.x", "GET", "/api/v1/api_key/user?api_key=K", Kind.CONTROL, "dash.user", False),
        (
            *("embeddings-dashboard-api.x", "GET", "/api/v1/authorization"),
            *(Kind.CONTROL, "dash.authorization", True),
        ),
        (BARE, "GET", "/v1/models", Kind.FORWARD, "models", False),
        ("deepsearch.x", "GET", "/v1/models", Kind.FORWARD, "models", False),
        ("api.x", "GET", "/v1/classifiers", Kind.FORWARD, "classifiers", True),
    ],
)
def test_other_doors_are_found(
    host: str, method: str, path: str, kind: Kind, name: str, needs_key: bool
) -> None:
    route = routed(host, method, path)
    assert (route.kind, route.name, route.needs_key) == (kind, name, needs_key)
    assert route.product is None


@pytest.mark.parametrize(
    ("path", "parameter", "service"),
    [
        ("/v1/requests/0198-abc?x=1", "0198-abc", None),
        ("/v1/classifiers/a%2Fb", "a%2Fb", "classifier"),
        ("/v1/models/jina-clip-v2", "jina-clip-v2", "embeddings"),
    ],
)
def test_path_parameter_is_handed_on_as_it_came(
    path: str, parameter: str, service: str | None
) -> None:
    route = routed(BARE, "GET", path)
    assert route.parameters == (parameter,)
    assert (route.upstream_path, route.service) == (path, service)


def test_models_of_deepsearch_are_asked_of_deepsearch() -> None:
    assert routed("deepsearch.x", "GET", "/v1/models/m").service == "deepsearch"


@pytest.mark.parametrize(
    ("host", "path", "family"),
    [
        ("r.x", "/https://a.b", Family.READER),
        (BARE, "/r/x", Family.READER),
        (BARE, "/v1/embeddings", Family.API),
        ("api.x", "/nowhere", Family.API),
        ("deepsearch.x", "/v1/chat/completions", Family.DEEPSEARCH),
        (BARE, "*", Family.API),
    ],
)
def test_options_is_a_preflight_everywhere(host: str, path: str, family: Family) -> None:
    route = routed(host, "OPTIONS", path)
    assert (route.kind, route.family) == (Kind.PREFLIGHT, family)


@pytest.mark.parametrize(
    ("host", "method", "path", "allow"),
    [
        (BARE, "GET", "/v1/classify", "POST, OPTIONS"),
        (BARE, "PUT", "/v1/segment", "GET, POST, OPTIONS"),
        ("r.x", "DELETE", "/https://a.b", "GET, POST, OPTIONS"),
        (BARE, "PATCH", "/s/x", "GET, POST, OPTIONS"),
        (BARE, "POST", "/v1/keys/me", "GET, DELETE, OPTIONS"),
        ("deepsearch.x", "GET", "/v1/chat/completions", "POST, OPTIONS"),
    ],
)
def test_wrong_method_is_405_and_names_the_right_ones(
    host: str, method: str, path: str, allow: str
) -> None:
    problem = refused(host, method, path)
    assert (problem.status, problem.allow) == (405, allow)
    assert allow in problem.detail


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (BARE, "/v1/nothing"),
        (BARE, "/v1/embeddings/x"),
        (BARE, "/rx"),
        ("api.x", "/r/https://a.b"),
        ("api.x", "/v1/chat/completions"),
        ("deepsearch.x", "/v1/embeddings"),
        ("segment.x", "/v1/embeddings"),
        (BARE, "/v1/requests/"),
        (BARE, "/v1/requests/a/b"),
        ("dash.x", "/v1/embeddings"),
    ],
)
def test_unknown_path_is_404_and_lists_what_there_is(host: str, path: str) -> None:
    problem = refused(host, "POST", path)
    assert (problem.status, problem.code) == (404, "PATH_NOT_FOUND")
    assert "there are" in problem.detail


def test_404_of_the_api_host_lists_its_products() -> None:
    detail = refused("api.x", "POST", "/v2").detail
    for path in ("POST /v1/embeddings", "POST /v1/rerank", "POST /v1/train", "POST /v1/classify"):
        assert path in detail


def test_icon_of_a_browser_uses_up_no_limit() -> None:
    assert refused("r.x", "GET", "/favicon.ico").status == 404


@pytest.mark.parametrize("target", ["", "*", "x", "http://", "ftp://a/b", "example.com:443"])
def test_odd_targets_are_400(target: str) -> None:
    assert refused(BARE, "GET", target).status == 400


@pytest.mark.parametrize(
    ("host", "path", "family"),
    [
        ("r.x", "/nope", Family.READER),
        (BARE, "/r/nope", Family.READER),
        (BARE, "/v1/chat/completions", Family.DEEPSEARCH),
        (BARE, "/v1/nope", Family.API),
        ("deepsearch.x", "/nope", Family.DEEPSEARCH),
        ("api.x", "", Family.API),
    ],
)
def test_refusals_before_a_route_know_their_envelope(host: str, path: str, family: Family) -> None:
    assert ROUTER.family(host, path) is family


def test_domain_that_begins_with_a_label_of_ours_is_the_bare_host() -> None:
    router = Router(load_catalogue(None), "s.example.org")
    bare = router.route("s.example.org:443", "POST", "/v1/rerank")
    assert isinstance(bare, Route)
    assert bare.name == "rerank"
    search = router.route("s.s.example.org", "GET", "/rerank")
    assert isinstance(search, Route)
    assert search.name == "search"


def test_catalogue_of_one_product_offers_that_alone() -> None:
    router = Router(load("[reader]\nhost = 'read'\n", builtin_text()), "localhost")
    for host, path in (("read.x", "/https://a.b"), ("x", "/read/https://a.b")):
        route = router.route(host, "GET", path)
        assert isinstance(route, Route)
        assert (route.name, route.upstream_path) == ("reader", "/https://a.b")
    for host, path in (("r.x", "/https://a.b"), ("api.x", "/v1/embeddings")):
        problem = router.route(host, "POST", path)
        assert isinstance(problem, Problem)
        assert problem.status == 404
