"""What stands behind each host label: routes by path and method, made once from the catalogue.

Refuses to look at requests; `hosts` does.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gateway.edge import doors, doors_of_web
from gateway.edge.doors import Door, Kind
from gateway.products.product import Catalogue, Counting, Family, Product
from gateway.record import record


@record
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
class House:
    """Everything behind one host label."""

    family: Family
    exact: dict[str, dict[str, Route]] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = field(default_factory=list)
    rest: Product | None = None
    # On the bare host: "/r" -> the house of the reader.
    below: "dict[str, House]" = field(default_factory=dict)


def houses(catalogue: Catalogue) -> dict[str, House]:
    """Every host label; "" is any other host."""
    found = {"": House(Family.API), "api": House(Family.API), "dash": House(Family.API)}
    for product in catalogue.products.values():
        for label in filter(None, (product.host, product.also_host)):
            found.setdefault(label, House(product.family))
    for product in catalogue.products.values():
        _move_in(found, product)
    for label, offered in (
        ("api", doors.API),
        ("deepsearch", doors.DEEPSEARCH),
        ("dash", (*doors.DASH, *doors_of_web.WEB)),
        ("", (*doors.BARE, *doors_of_web.WEB)),
    ):
        if label in found:
            _hang(found[label], offered)
    for house in found.values():
        # Whoever searches for the word "health" shall find it; no web page is called that.
        if house.rest is None or house.rest.counting is not Counting.SEARCH:
            _hang(house, doors.PROBES)
    # The name under which older clients know the dashboard.
    found["embeddings-dashboard-api"] = found["dash"]
    return found


def _move_in(houses: dict[str, House], product: Product) -> None:
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


def _open(house: House, product: Product, path: str, upstream_path: str) -> None:
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


def _hang(house: House, offered: Iterable[Door]) -> None:
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
