"""The house rules of the architecture, checked on the tree as it stands."""

import pytest

from tests.house.tree import SIDES, Module, modules, names

# The longest prefix counts. A module may import its own rank and those below it.
RANKS = {
    "gateway": 0,
    "gateway.units": 0,
    "gateway.errors": 0,
    "gateway.record": 0,
    "gateway.settings": 1,
    "gateway.conditions": 1,
    "gateway.telemetry": 1,
    "gateway.postgres": 1,
    "gateway.redis_link": 1,
    "gateway.loop": 1,
    "gateway.sql": 1,
    "gateway.tokenizer": 1,
    "gateway.embedded": 1,
    "gateway.products": 2,
    "gateway.keys.format": 2,
    "gateway.ledger.rows": 2,
    "gateway.billing.packs": 2,
    "gateway.billing.orders": 2,
    "gateway.billing.facts": 2,
    "gateway.billing.seen": 2,
    "gateway.billing.words": 2,
    "gateway.billing.guard": 2,
    "gateway.admission.ask": 2,
    "gateway.admission.local": 2,
    "gateway.admission.model": 2,
    "gateway.admission.unposted": 2,
    "gateway.admission.window": 2,
    "gateway.admission.rule": 2,
    "gateway.admission.shadow": 2,
    "gateway.arrivals.form": 2,
    "gateway.arrivals.fold": 2,
    "gateway.arrivals.pseudonym": 2,
    "gateway.arrivals.replay": 2,
    "gateway.metering.event": 2,
    "gateway.metering.numbers": 2,
    "gateway.metering.outcomes": 2,
    "gateway.keys": 3,
    "gateway.ledger": 3,
    "gateway.admission": 3,
    "gateway.metering": 3,
    "gateway.arrivals": 3,
    "gateway.billing": 3,
    "gateway.edge": 4,
    "gateway.control": 4,
    "gateway.app": 5,
    "gateway.front_door": 5,
    "gateway.ground": 5,
    "gateway.oversight": 5,
    "gateway.standby": 5,
    "gateway.commands": 5,
    "gateway.__main__": 5,
}
# Pure: no I/O, no clock, no randomness, no event loop.
PURE = tuple(name for name, rank in RANKS.items() if rank in (0, 2) and name != "gateway")
IMPURE_LIBRARIES = {"asyncio", "socket", "time", "random", "secrets", "subprocess", "threading"}
# The catalogue's own text is a file of the package; one module reads it.
READS_A_FILE = {"gateway.products.builtin"}
# Of the doing ranks, who may know whom (each also itself).
KNOWS = {
    "gateway.keys": {"gateway.ledger"},
    "gateway.ledger": set[str](),
    "gateway.admission": {"gateway.ledger"},
    "gateway.arrivals": {"gateway.admission"},
    "gateway.metering": {"gateway.admission", "gateway.arrivals", "gateway.ledger"},
    "gateway.billing": {"gateway.admission", "gateway.ledger"},
    "gateway.edge": {"gateway.admission", "gateway.ledger", "gateway.keys", "gateway.metering"},
    "gateway.control": {
        "gateway.admission",
        "gateway.billing",
        "gateway.edge",
        "gateway.keys",
        "gateway.ledger",
        "gateway.metering",
    },
}
OWNERS = {
    "asyncpg": {"gateway.postgres", "services.postgres"},
    "redis": {"gateway.redis_link"},
    "hiredis": {"gateway.redis_link"},
    "prometheus_client": {"gateway.telemetry"},
    "opentelemetry": {"gateway.telemetry.otel"},
    "rs_bpe": {"gateway.tokenizer", "services.tokenizer"},
    "uvloop": {"gateway.commands.running", "services.serving"},
    "stripe": {"gateway.billing.stripe_port"},
    "jinja2": {"gateway.control.web.templates"},
    "smtplib": {"gateway.control.web.letters"},
    "aiohttp": {
        "gateway.edge",
        "gateway.control",
        "gateway.commands",
        "gateway.billing.stripe_port",
        "gateway.billing.notify",
        "services",
    },
    "trafilatura": {"services.reader"},
    "selectolax": {"services.reader"},
    "html_to_markdown": {"services.reader"},
    "tantivy": {"services.search"},
    "jsonschema": {"services.deepsearch"},
    "referencing": {"services.deepsearch"},
    "onnx": {"services.models.graph"},
    "onnxruntime": {"services.models.session"},
    "tokenizers": {"services.models.tokens"},
    "PIL": {"services.models.pictures", "services.reader"},
}


def _longest(name: str, table: dict[str, int]) -> int:
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        rank = table.get(".".join(parts[:end]))
        if rank is not None:
            return rank
    raise AssertionError(f"{name} has no rank")


def _ours(module: Module) -> set[str]:
    return {name for name in module.imports() if name.split(".")[0] in SIDES}


def _below(name: str, prefixes: set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


@pytest.mark.parametrize("side", SIDES)
def test_the_two_sides_never_import_each_other(side: str) -> None:
    other = SIDES[1 - SIDES.index(side)]
    wrong = [
        f"{module.shown} imports {name}"
        for module in modules()
        if module.name.split(".")[0] == side
        for name in _ours(module)
        if name.split(".")[0] == other
    ]
    assert wrong == []


def test_no_module_imports_above_its_rank() -> None:
    wrong = [
        f"{module.name} (rank {_longest(module.name, RANKS)}) imports {name}"
        for module in modules()
        if module.name.startswith("gateway.")
        for name in _ours(module)
        if _longest(name, RANKS) > _longest(module.name, RANKS)
    ]
    assert wrong == []


def test_doing_packages_know_only_those_named() -> None:
    wrong = []
    for module in modules():
        package = ".".join(module.name.split(".")[:2])
        if package not in KNOWS or _longest(module.name, RANKS) == 2:
            continue
        for name in _ours(module):
            other = ".".join(name.split(".")[:2])
            doing = other in KNOWS and other != package and _longest(name, RANKS) > 2
            if doing and other not in KNOWS[package]:
                wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_the_edge_never_talks_to_a_store_itself() -> None:
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        if module.name.startswith("gateway.edge")
        for name in _ours(module)
        if _below(name, {"gateway.postgres", "gateway.redis_link"})
    ]
    assert wrong == []


def test_pure_modules_have_no_clock_no_chance_and_no_io() -> None:
    wrong = []
    for module in modules():
        if not _below(module.name, set(PURE)) or module.name in READS_A_FILE:
            continue
        for name in module.imports():
            if name.split(".")[0] in IMPURE_LIBRARIES:
                wrong.append(f"{module.name} imports {name}")
            if name.startswith("gateway.") and _longest(name, RANKS) == 1:
                wrong.append(f"{module.name} imports {name}")
    assert wrong == []


def test_every_library_has_one_owner() -> None:
    wrong = [
        f"{module.name} imports {name}"
        for module in modules()
        for name in module.imports()
        if name.split(".")[0] in OWNERS and not _below(module.name, OWNERS[name.split(".")[0]])
    ]
    assert wrong == []


def test_there_is_no_import_circle() -> None:
    edges = {module.name: _ours(module) & names() for module in modules()}
    done: set[str] = set()
    circles: list[list[str]] = []

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            circles.append([*trail[trail.index(name) :], name])
        elif name not in done:
            for other in sorted(edges.get(name, ())):
                visit(other, [*trail, name])
            done.add(name)

    for name in sorted(edges):
        visit(name, [])
    assert circles == []
