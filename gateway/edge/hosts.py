"""Says from Host, method and path what a request is for: one warm look-up is one dict hit.

Refuses to look into bodies: where the body decides (/v1/classify) a Route names the candidates.
The raw target of the reader is never decoded or rebuilt; the service gets what the client sent.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.edge import doors
from gateway.edge.doors import Door, Kind
from gateway.edge.refusals import malformed_http, method_not_allowed, unknown_path
from gateway.errors import Problem
from gateway.products.product import Catalogue, Counting, Family, Product

_ABSOLUTE: Final = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SLASHES: Final = re.compile(r"//+")
# What names a target on GET / of r. and s., besides the path itself (wire contract 1.1, 2.1).
_TARGET_FIELD: Final = re.compile(r"[?&](?:url|html|pdf|file|q)=[^&]")
# Browsers ask for it by themselves; nobody wants its page, and it must not use up a limit.
_ICON: Final = "/favicon.ico"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request is for.

    `upstream_path` is the path with query for the service. `product` is None for every kind but
    PRODUCT, and where `candidates` has several the body decides. `parameters` are the segments
    that stood for `{}`, still percent-encoded.
    """

    kind: Kind
    name: str
    family: Family
    upstream_path: str
    product: Product | None = None
    candidates: tuple[Product, ...] = ()
    service: str | None = None
    needs_key: bool = False
    parameters: tuple[str, ...] = ()


@dataclass(slots=True)
class _House:
    """Everything behind one host label."""

    family: Family
    exact: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)
    rest: Product | None = None
    # On the bare host: "/r" -> the house of the reader.
    below: "dict[str, _House]" = field(default_factory=dict)


class Router:
    """Routes of one catalogue under one domain. Holds no state of requests."""

    def __init__(self, catalogue: Catalogue, domain: str) -> None:
        self._domain = domain.lower()
        self._houses = _houses(catalogue)
        self._bare = self._houses.pop("")

    def route(self, host: str, method: str, raw_path: str) -> Route | Problem:
        """The way of one request: `host` as in the Host header, `raw_path` as on the request line.

        Never raises, whatever a client sends.
        """
        house = self._house(host)
        try:
            return house.exact[raw_path][method]
        except KeyError:
            return self._slower(house, method, raw_path)

    def family(self, host: str, raw_path: str = "") -> Family:
        """The envelope for what goes wrong before there is a route."""
        return _family_at(self._house(host), raw_path)

    def _house(self, host: str) -> _House:
        label, dot, _ = host.partition(".")
        if dot:
            house = self._houses.get(label) or self._houses.get(label.lower())
            if house is not None and not self._is_domain(host):
                return house
        return self._bare

    def _is_domain(self, host: str) -> bool:
        """A domain may itself begin with a label of ours: `s.example.org` is bare if it is ours."""
        return host.partition(":")[0].lower() == self._domain

    def _slower(self, house: _House, method: str, raw_path: str) -> Route | Problem:
        if not raw_path.startswith("/"):
            return self._odd_form(house, method, raw_path)
        if method == "OPTIONS":
            return Route(Kind.PREFLIGHT, "preflight", _family_at(house, raw_path), raw_path)
        if house.rest is not None:
            return _rest(house, house.rest, method, raw_path)
        prefix, below = _below(house, raw_path)
        if below is not None and below.rest is not None:
            path = raw_path[len(prefix) :]
            return _rest(below, below.rest, method, path if path[:1] == "/" else "/" + path)
        return _exact(house, method, raw_path)

    def _odd_form(self, house: _House, method: str, target: str) -> Route | Problem:
        """`OPTIONS *`, and the absolute form that a client sends to what it takes for a proxy."""
        if target == "*" and method == "OPTIONS":
            return Route(Kind.PREFLIGHT, "preflight", house.family, "*")
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or not absolute[1]:
            return malformed_http("the target must be a path that begins with /")
        path = absolute[2].partition("#")[0]
        # One level only: what follows begins with a slash, so this cannot come here again.
        return self.route(absolute[1], method, path if path[:1] == "/" else "/" + path)


def _family_at(house: _House, raw_path: str) -> Family:
    below = _below(house, raw_path)[1]
    if below is not None:
        return below.family
    for route in house.exact.get(raw_path.partition("?")[0], {}).values():
        return route.family
    return house.family


def _below(house: _House, raw_path: str) -> tuple[str, _House | None]:
    """The prefix of a product that owns its host, `/r` of `/r/https://...`, and its house."""
    if not house.below or raw_path[:1] != "/":
        return "", None
    prefix = "/" + raw_path.partition("?")[0].split("/", 2)[1]
    return prefix, house.below.get(prefix)


def _rest(house: _House, product: Product, method: str, path: str) -> Route | Problem:
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


def _exact(house: _House, method: str, raw_path: str) -> Route | Problem:
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


def _at(house: _House, path: str) -> tuple[dict[str, Route], tuple[str, ...]] | None:
    methods = house.exact.get(path)
    if methods is not None:
        return methods, ()
    for pattern, methods in house.patterns:
        match = pattern.fullmatch(path)
        if match is not None:
            return methods, match.groups()
    return None


def _offered(house: _House) -> list[str]:
    """What a lost client may want: products first, in the order of the catalogue."""
    offered = [f"/{prefix[1:]}/..." for prefix in house.below]
    for path, methods in house.exact.items():
        kinds = {route.kind for route in methods.values()}
        if kinds & {Kind.PRODUCT, Kind.CONTROL, Kind.FORWARD}:
            offered.append(f"{'|'.join(methods)} {path}")
    return offered


def _houses(catalogue: Catalogue) -> dict[str, _House]:
    """Every host label; "" is any other host."""
    houses = {"": _House(Family.API), "api": _House(Family.API), "dash": _House(Family.API)}
    for product in catalogue.products.values():
        for label in filter(None, (product.host, product.also_host)):
            houses.setdefault(label, _House(product.family))
    for product in catalogue.products.values():
        _move_in(houses, product)
    for label, offered in (
        ("api", doors.API),
        ("deepsearch", doors.DEEPSEARCH),
        ("dash", doors.DASH),
        ("", doors.BARE),
    ):
        if label in houses:
            _hang(houses[label], offered)
    for house in houses.values():
        # Whoever searches for the word "health" shall find it; no web page is called that.
        if house.rest is None or house.rest.counting is not Counting.SEARCH:
            _hang(house, doors.PROBES)
    # The name under which older clients know the dashboard.
    houses["embeddings-dashboard-api"] = houses["dash"]
    return houses


def _move_in(houses: dict[str, _House], product: Product) -> None:
    house, bare = houses[product.host], houses[""]
    if product.takes_rest:
        house.rest = product
        bare.below[f"/{product.host}"] = house
        return
    for path in product.paths:
        _open(house, product, path, path)
        _open(bare, product, path, path)
    if product.also_host is not None:
        _open(houses[product.also_host], product, "/", product.paths[0])
        _open(houses[product.also_host], product, product.paths[0], product.paths[0])


def _open(house: _House, product: Product, path: str, upstream_path: str) -> None:
    methods = house.exact.setdefault(path, {})
    for method in product.methods:
        known = methods.get(method)
        candidates = (*(known.candidates if known else ()), product)
        methods[method] = Route(
            Kind.PRODUCT,
            product.name if known is None else known.name,
            product.family,
            upstream_path,
            product if known is None else None,
            candidates,
            product.service,
            all(each.anonymous is None for each in candidates),
        )


def _hang(house: _House, offered: Iterable[Door]) -> None:
    patterns: dict[str, dict[str, Route]] = {}
    for door in offered:
        route = Route(
            door.kind,
            door.name,
            house.family,
            door.path,
            service=door.service,
            needs_key=door.needs_key,
        )
        if "{}" in door.path:
            patterns.setdefault(door.path, {})[door.method] = route
        else:
            house.exact.setdefault(door.path, {}).setdefault(door.method, route)
    for path, methods in patterns.items():
        house.patterns.append((_pattern(path.split("{}")), methods))


def _pattern(literals: Sequence[str]) -> re.Pattern[str]:
    return re.compile("([^/]{1,200})".join(re.escape(each) for each in literals))
