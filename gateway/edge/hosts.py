"""Says from Host, method and path what a request is for: one warm look-up is one dict hit.

Refuses to look into bodies: where the body decides (/v1/classify) a Route names the candidates.
The raw target of the reader is never decoded or rebuilt; the service gets what the client sent.
"""

import re
from typing import Final

from gateway.edge.authority import is_authority
from gateway.edge.doors import Kind
from gateway.edge.doors_of_web import CALL, CALLED
from gateway.edge.houses import House, Route, houses
from gateway.edge.refusals import malformed_http, method_not_allowed, unknown_path
from gateway.errors import Problem
from gateway.products.product import Catalogue, Family, Product

__all__ = ["Route", "Router"]

_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SLASHES: Final = re.compile(r"//+")
# What names a target on GET / of r. and s., besides the path itself (wire contract 1.1, 2.1).
_TARGET_FIELD: Final = re.compile(r"[?&](?:url|html|pdf|file|q)=[^&]")
# Browsers ask for it by themselves; nobody wants its page, and it must not use up a limit.
_ICON: Final = "/favicon.ico"
_MOST_FOUND: Final = 1_000
_KEPT_CHARACTERS: Final = 260


class Router:
    """Routes of one catalogue under one domain. Holds no state of requests."""

    def __init__(self, catalogue: Catalogue, domain: str) -> None:
        self._domain = domain.lower()
        self.adopt(catalogue)

    def adopt(self, catalogue: Catalogue) -> None:
        """Lead to the products of this catalogue from now on."""
        self._houses = houses(catalogue)
        self._bare = self._houses.pop("")
        self._with_pages = (self._bare, self._houses["dash"])
        # Of the few names by which a gateway is called.
        self._found: dict[str, House] = {}

    def route(self, host: str, method: str, raw_path: str) -> Route | Problem:
        """The way of one request: `host` as in the Host header, `raw_path` as on the request line.

        Never raises, whatever a client sends.
        """
        house = self._found.get(host) or self._house(host)
        try:
            return house.exact[raw_path][method]
        except KeyError:
            return self._slower(house, method, raw_path)

    def family(self, host: str, raw_path: str = "") -> Family:
        """The envelope for what goes wrong before there is a route."""
        house = self._house(host)
        if raw_path.startswith(f"{CALL}/") and any(house is each for each in self._with_pages):
            return _family_at(self._bare, raw_path.removeprefix(CALL))
        return _family_at(house, raw_path)

    def _house(self, host: str) -> House:
        house = self._look_up(host)
        if len(self._found) < _MOST_FOUND and len(host) < _KEPT_CHARACTERS:
            self._found[host] = house
        return house

    def _look_up(self, host: str) -> House:
        label, dot, _ = host.partition(".")
        if dot:
            house = self._houses.get(label) or self._houses.get(label.lower())
            if house is not None and not self._is_domain(host):
                return house
        return self._bare

    def _is_domain(self, host: str) -> bool:
        """A domain may itself begin with a label of ours: `s.example.org` is bare if it is ours."""
        return host.partition(":")[0].lower() == self._domain

    def _slower(self, house: House, method: str, raw_path: str) -> Route | Problem:
        if not raw_path.startswith("/"):
            return self._odd_form(house, method, raw_path)
        if method == "OPTIONS":
            return Route(Kind.PREFLIGHT, "preflight", _family_at(house, raw_path), raw_path)
        if house.rest is not None:
            return _rest(house, house.rest, method, raw_path)
        if raw_path.startswith(f"{CALL}/") and any(house is each for each in self._with_pages):
            return self._called(method, raw_path.removeprefix(CALL))
        prefix, below = _below(house, raw_path)
        if below is not None and below.rest is not None:
            path = raw_path[len(prefix) :]
            return _rest(below, below.rest, method, path if path[:1] == "/" else "/" + path)
        return _exact(house, method, raw_path)

    def _called(self, method: str, path: str) -> Route | Problem:
        """A product call of a page with its session: what is at this path of a bare host."""
        if path.startswith(CALL):
            return unknown_path(method, CALL + path, ())
        route = self._bare.exact.get(path, {}).get(method) or self._slower(self._bare, method, path)
        if isinstance(route, Problem) or route.kind in CALLED:
            return route
        return unknown_path(method, CALL + path, ())

    def _odd_form(self, house: House, method: str, target: str) -> Route | Problem:
        """`OPTIONS *`, and the absolute form that a client sends to what it takes for a proxy."""
        if target == "*" and method == "OPTIONS":
            return Route(Kind.PREFLIGHT, "preflight", house.family, "*")
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1] or not is_authority(absolute[1]):
            return malformed_http("the target must be a path that begins with /")
        path = absolute[2].partition("#")[0]
        # One level only: what follows begins with a slash, so this cannot come here again.
        return self.route(absolute[1], method, path if path[:1] == "/" else "/" + path)


def _family_at(house: House, raw_path: str) -> Family:
    below = _below(house, raw_path)[1]
    if below is not None:
        return below.family
    for route in house.exact.get(raw_path.partition("?")[0], {}).values():
        return route.family
    return house.family


def _below(house: House, raw_path: str) -> tuple[str, House | None]:
    """The prefix of a product that owns its host, `/r` of `/r/https://...`, and its house."""
    if not house.below or raw_path[:1] != "/":
        return "", None
    prefix = "/" + raw_path.partition("?")[0].split("/", 2)[1]
    return prefix, house.below.get(prefix)


def _rest(house: House, product: Product, method: str, path: str) -> Route | Problem:
    """r. and s.: whatever is not named otherwise is the target."""
    named = house.exact.get(path, {}).get(method)
    if named is not None:
        return named
    if method not in product.methods:
        return method_not_allowed(method, path, product.allow)
    if path == _ICON:
        return unknown_path(method, path, ())
    named_path, mark, _ = path.partition("?")
    if (
        method == "GET"
        and named_path in product.paths
        and not (mark and _TARGET_FIELD.search(path, len(named_path)))
    ):
        return Route(Kind.INDEX, product.name, product.family, path, service=product.service)
    return Route(
        Kind.PRODUCT,
        product.name,
        product.family,
        path,
        product,
        (product,),
        product.service,
        product.anonymous is None,
    )


def _exact(house: House, method: str, raw_path: str) -> Route | Problem:
    path, mark, query = raw_path.partition("?")
    found = _at(house, path)
    if found is None:
        # A base URL with a slash at its end is common: `//v1/embeddings`, `/v1/embeddings/`.
        path = _SLASHES.sub("/", path)
        path = path.rstrip("/") or "/"
        found = _at(house, path)
    if found is None:
        return unknown_path(method, raw_path.partition("?")[0], _offered(house))
    methods, parameters = found
    route = methods.get(method)
    if route is None:
        return method_not_allowed(method, path, ", ".join((*methods, "OPTIONS")))
    if not mark and not parameters:
        return route
    # A path with a parameter goes to the service as it came, a product's under its own name.
    upstream = path if parameters else route.upstream_path
    return Route(
        route.kind,
        route.name,
        route.family,
        f"{upstream}?{query}" if mark else upstream,
        route.product,
        route.candidates,
        route.service,
        route.needs_key,
        parameters,
    )


def _at(house: House, path: str) -> tuple[dict[str, Route], tuple[str, ...]] | None:
    methods = house.exact.get(path)
    if methods is not None:
        return methods, ()
    for pattern, methods in house.patterns:
        match = pattern.fullmatch(path)
        if match is not None:
            return methods, match.groups()
    return None


def _offered(house: House) -> list[str]:
    """What a lost client may want: products first, in the order of the catalogue."""
    offered = [f"/{prefix[1:]}/..." for prefix in house.below]
    for path, methods in house.exact.items():
        kinds = {route.kind for route in methods.values()}
        if kinds & {Kind.PRODUCT, Kind.CONTROL, Kind.FORWARD}:
            offered.append(f"{'|'.join(methods)} {path}")
    return offered
