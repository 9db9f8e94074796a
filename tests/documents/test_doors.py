"""The document and the doors of the gateway name the same, both ways, on every host."""

import ast
import re
from collections.abc import Iterator

import pytest

from gateway.control.documents.building import OPERATIONS, build
from gateway.control.documents.operation import Operation
from gateway.control.documents.origins import Origins, origins_of
from gateway.control.documents.refusals import CODES
from gateway.edge.doors import Kind
from gateway.edge.hosts import Router
from gateway.edge.houses import House, Route, houses
from gateway.errors import Problem
from gateway.products.builtin import load_catalogue
from tests.house.tree import modules

CATALOGUE = load_catalogue(None)
DOMAIN = "example.org"
NAMED = Origins("https", DOMAIN, named=True)
BARE = Origins("http", "127.0.0.1:8080", named=False)
# Pages are for people; how to be asked by a browser is no call.
NO_CALLS = (Kind.WEB, Kind.PREFLIGHT)
# The same operation at another path of the same host; the text of the operation tells it.
ALIASES = {
    ("api", "GET", "/"): "health",
    ("api", "HEAD", "/"): "health_head",
    ("deepsearch", "GET", "/"): "health",
    ("deepsearch", "HEAD", "/"): "health_head",
    ("segment", "GET", "/"): "segment_by_query",
    ("segment", "POST", "/"): "segment",
}
# They are only the front page of their product without a query, or a longer name of what is named.
REST = {("s", "GET", "/"), ("s", "POST", "/")}
OF_OPERATORS = {"AUTH_ADMIN"}
# Commands have none, and what the pages are told is between them and the gateway.
NOT_OF_CLIENTS = ("gateway.commands", "gateway.control.web")
CODE = re.compile(r"^[A-Z]+(_[A-Z]+)+$")


def _described(origins: Origins) -> set[tuple[str, str, str]]:
    """Host label, method and path of every operation of a document."""
    found = set()
    for path, methods in build(CATALOGUE, origins)["paths"].items():
        for method, operation in methods.items():
            for server in operation.get("servers", [{"url": ""}]):
                label = server["url"].removeprefix("https://").removesuffix(f".{DOMAIN}")
                found.add((label, method.upper(), re.sub(r"\{[a-z_]+\}", "{}", path)))
    return found


def _doors(label: str, house: House) -> Iterator[tuple[str, str, str]]:
    for path, methods in house.exact.items():
        for method, route in methods.items():
            if route.kind not in NO_CALLS:
                yield label, method, path
    for pattern, methods in house.patterns:
        path = pattern.pattern.replace("([^/]{1,200})", "{}").replace("\\", "")
        for method, route in methods.items():
            if route.kind not in NO_CALLS:
                yield label, method, path
    if house.rest is not None:
        yield from ((label, method, "/") for method in house.rest.methods)


def _route(router: Router, operation: Operation) -> Route:
    """Where it leads; without a query search would show its front page."""
    path = re.sub(r"\{[a-z_]+\}", "a-b", operation.path)
    asked = f"{path}?q=x" if operation.products == ("search",) else path
    route = router.route(f"{operation.labels[0]}.{DOMAIN}", operation.method, asked)
    assert isinstance(route, Route)
    return route


def test_every_door_of_a_host_is_described() -> None:
    described = _described(NAMED)
    for label, house in houses(CATALOGUE).items():
        if label not in ("", "embeddings-dashboard-api"):
            missing = set(_doors(label, house)) - described - ALIASES.keys() - REST
            assert missing == set(), label


def test_every_door_of_a_bare_host_is_described() -> None:
    bare = houses(CATALOGUE)[""]
    assert set(_doors("", bare)) - _described(BARE) == set()
    # Below /r and /s every path is a page or a query.
    paths = {path for _, _, path in _described(BARE)}
    assert {f"{prefix}/" for prefix in bare.below} <= {f"/{p.split('/')[1]}/" for p in paths}


@pytest.mark.parametrize("origins", [NAMED, BARE])
def test_whatever_is_described_has_a_door(origins: Origins) -> None:
    router = Router(CATALOGUE, DOMAIN)
    for label, method, path in _described(origins):
        host = f"{label}.{DOMAIN}" if origins.named else origins.root
        route = router.route(host, method, path.replace("{}", "a-b"))
        assert not isinstance(route, Problem), (label, method, path, route)
        assert route.kind not in NO_CALLS, (label, method, path)


def test_a_key_is_demanded_where_the_document_says_so() -> None:
    router = Router(CATALOGUE, DOMAIN)
    for operation in OPERATIONS:
        assert operation.key == _route(router, operation).needs_key, operation.name


def test_the_products_of_an_operation_are_those_of_its_door() -> None:
    router = Router(CATALOGUE, DOMAIN)
    named = set()
    for operation in OPERATIONS:
        route = _route(router, operation)
        products = {product.name for product in route.candidates}
        assert products == set(operation.products), operation.name
        assert route.family is operation.family or route.kind is not Kind.PRODUCT
        named |= products
    assert named == set(CATALOGUE.products)


def test_every_header_that_a_product_forwards_is_described() -> None:
    for name in ("reader", "search"):
        described = {
            parameter.name.lower()
            for operation in OPERATIONS
            if name in operation.products
            for parameter in operation.parameters
        }
        product = CATALOGUE.products[name]
        aliases = {"content-type", "accept-language", "x-with-favicon"}
        assert product.header_names - described - aliases == set()


def test_every_code_of_gateway_and_services_is_described() -> None:
    found = set()
    for module in modules():
        if "admin" in module.name or module.name.startswith(NOT_OF_CLIENTS):
            continue
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.Call):
                continue
            place = {"Problem": 0, "Refusal": 1, "beyond": 1}
            at = place.get(ast.unparse(node.func))
            if at is not None and len(node.args) > at:
                code = node.args[at]
                if isinstance(code, ast.Constant) and CODE.match(str(code.value)):
                    found.add(str(code.value))
    assert found - OF_OPERATORS - CODES.keys() == set()


@pytest.mark.parametrize(
    ("host", "bare", "api"),
    [
        ("127.0.0.1:8080", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("example.org", "http://example.org", "http://example.org"),
        ("api.example.org", "http://example.org", "http://api.example.org"),
        ("DASH.example.org:81", "http://example.org:81", "http://api.example.org:81"),
        ("[::1]:8080", "http://[::1]:8080", "http://[::1]:8080"),
        ("a b", "http://example.org", "http://example.org"),
        ('x"><script>', "http://example.org", "http://example.org"),
        ("", "http://example.org", "http://example.org"),
    ],
)
def test_addresses_are_those_of_who_asks(host: str, bare: str, api: str) -> None:
    origins = origins_of(host, DOMAIN, secure=False)
    assert origins.bare == bare
    assert origins.of(["api"]) == [api]


def test_behind_tls_addresses_say_so() -> None:
    origins = origins_of("api.example.org", DOMAIN, secure=True)
    assert origins.of(["r"]) == ["https://r.example.org"]
